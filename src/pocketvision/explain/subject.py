"""What is explained from: a bundle's file at work, and its network in PyTorch where a method needs that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError
from pocketvision.explain.choice import Choice, chance_of, choices_in, score_of
from pocketvision.explain.inner_values import FILE, InnerValues, model_bytes, randomised
from pocketvision.preprocessing import Placement
from pocketvision.runtime.backends import Backend, default_backend, open_backend
from pocketvision.runtime.batches import Outputs
from pocketvision.runtime.onnx_backend import CPU, OnnxBackend
from pocketvision.tasks.catalog import Answers, decoded
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.task import Detail

if TYPE_CHECKING:
    from pocketvision.explain.layer_statistics import LayerStatistics
    from pocketvision.explain.watched import Watched

Inputs = NDArray[np.float32]
"""Preprocessed images, (N, 3, H, W)."""

BATCH = 16
"""Images that run together."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A bundle, and what runs it. backend_name: of BACKENDS. random: whether its weights are in a random order: what such a
    network shows was not learned."""

    bundle: Bundle
    backend: Backend
    backend_name: str
    random: bool = False

    @classmethod
    def of(cls, bundle: Bundle, backend: str | None = None, threads: int | None = None) -> "Subject":
        """A bundle, run by the backend of this name (None: its own). Raises as open_backend does."""
        name = backend or default_backend(bundle)
        return cls(bundle, open_backend(bundle, name, threads=threads), name)

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
        self, name: str, outputs: Outputs, placement: Placement, *, class_name: str | None = None, most: int = 1
    ) -> list[Choice]:
        """What of a task's answer about one image is explained. Raises UsageError for an unknown class."""
        answer = self.answers(outputs, placement)[name]
        return choices_in(name, self.bundle.tasks[name], answer, outputs, class_name=class_name, most=most)

    def scores(self, images: Inputs, choice: Choice) -> NDArray[np.float64]:
        """(N) the choice's score for each image, some at a time."""
        return np.asarray(score_of(self.task(choice), self.run(images), choice), np.float64)

    def chances(self, images: Inputs, choice: Choice) -> NDArray[np.float64]:
        """(N) the same as people read it."""
        return np.asarray(chance_of(self.task(choice), self.run(images), choice), np.float64)

    @property
    def can_differentiate(self) -> bool:
        """Whether torch is here and the bundle holds weights. Imports nothing."""
        return "model.safetensors" in self.bundle.manifest.files and find_spec("torch") is not None

    @cached_property
    def watched(self) -> "Watched":
        """The network in PyTorch. Raises MissingExtraError without torch, UsageError for a bundle without weights."""
        from pocketvision.errors import MissingExtraError

        try:
            from pocketvision.explain.watched import Watched
        except ImportError:
            raise MissingExtraError("This way to explain", "train") from None
        return Watched.of(self.bundle, random=self.random)

    def layer_statistics(self, images: "Sequence[NDArray[np.float32]]") -> "list[LayerStatistics]":
        """See layer_statistics.py; images: preprocessed, (3, H, W) each."""
        watched = self.watched
        from pocketvision.explain.layer_statistics import layer_statistics

        batches = [np.stack(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return layer_statistics(watched, batches)

    def sheets(self, image: Inputs, layers: tuple[str, ...] | None) -> "list[tuple[str, str, NDArray[np.uint8]]]":
        """Of each layer (None: the stem and every stage that runs) what it sees in one image, then the first layer's filters: a
        title, what is shown, and the picture."""
        watched = self.watched
        from pocketvision.explain.feature_maps import feature_maps, first_filters, sheet

        found = []
        for name, level in feature_maps(watched, image, layers).items():
            picture, kept = sheet(level)
            said = (
                f"{len(kept)} of {len(level)} channels of {level.shape[1]} x {level.shape[2]}, those that vary most: "
            )
            found.append((name, said + ", ".join(map(str, kept)), picture))
        try:
            found.append(("filters", "The first layer's filters; grey is 0", first_filters(watched)))
        except UsageError as error:
            if layers is None and not found:
                raise error from None
        return found

    @cached_property
    def inner(self) -> InnerValues:
        """What stands within model.onnx. Raises BundleError for a bundle without."""
        model = model_bytes(self.bundle)
        return InnerValues(randomised(model) if self.random else model, str(self.bundle.folder / FILE))

    def deepest_map(self, images: Inputs) -> str:
        """The name of the deepest map within model.onnx; looked for once."""
        if self._deepest.get("name") is None:
            self._deepest["name"] = self.inner.deepest_map(images)
        return self._deepest["name"]

    @cached_property
    def _deepest(self) -> dict[str, str]:
        return {}

    def with_random_weights(self) -> "Subject":
        """The same network as if it had learned nothing. Raises BundleError for a bundle without model.onnx."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(randomised(model_bytes(self.bundle)), options, providers=[CPU])
        return Subject(self.bundle, OnnxBackend(session), "onnxruntime", random=True)
