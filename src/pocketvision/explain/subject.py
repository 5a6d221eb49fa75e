"""What is explained from: a bundle's file at work, and its network in PyTorch where a method needs that."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.explain.choice import Choice, choices_in, score_of
from pocketvision.preprocessing import Placement
from pocketvision.runtime.backends import Backend
from pocketvision.runtime.batches import Outputs
from pocketvision.tasks.catalog import Answers, decoded
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.task import Detail

if TYPE_CHECKING:
    from pocketvision.explain.watched import Watched

Inputs = NDArray[np.float32]
"""Preprocessed images, (N, 3, H, W)."""

BATCH = 16
"""Images that run together."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A bundle, and what runs it."""

    bundle: Bundle
    backend: Backend

    def run(self, images: Inputs) -> Outputs:
        """The graph's outputs by name, some images at a time."""
        parts = [self.backend.run(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}

    def answers(self, outputs: Mapping[str, NDArray[Any]], placement: Placement) -> Answers:
        """About one image."""
        return decoded(self.bundle.tasks, outputs, [placement], Detail())[0]

    def task(self, choice: Choice) -> TaskManifest:
        return self.bundle.tasks[choice.task]

    def choices(
        self, name: str, outputs: Outputs, placement: Placement, *, label: str | None = None, most: int = 1
    ) -> list[Choice]:
        """What of a task's answer about one image is explained. Raises UsageError for an unknown class."""
        answer = self.answers(outputs, placement)[name]
        return choices_in(name, self.bundle.tasks[name], answer, outputs, label=label, most=most)

    def scores(self, images: Inputs, choice: Choice) -> NDArray[np.float64]:
        """(N) the choice's score for each image, some at a time."""
        task = self.task(choice)
        parts = [
            np.asarray(score_of(task, self.backend.run(images[start : start + BATCH]), choice), np.float64)
            for start in range(0, len(images), BATCH)
        ]
        return np.concatenate(parts)

    @cached_property
    def watched(self) -> "Watched":
        """The network in PyTorch. Raises MissingExtraError without torch, UsageError for a bundle without weights."""
        from pocketvision.errors import MissingExtraError

        try:
            from pocketvision.explain.watched import Watched
        except ImportError:
            raise MissingExtraError("This way to explain", "train") from None
        return Watched.of(self.bundle)
