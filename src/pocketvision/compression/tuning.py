"""Tuning all weights of a bundle's network for a few epochs: what pruning and a smaller input are followed by."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import numpy as np
from torch import Tensor

from pocketvision.compression.bundle_images import BundleImages
from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.preprocessing import Preprocessing
from pocketvision.progress import Note, OnEvent, StepProgress
from pocketvision.training.balance import EQUAL
from pocketvision.training.image_batches import image_batches
from pocketvision.training.learned_tasks import augmentation_of, objective_of
from pocketvision.training.objective import Objective, Targets
from pocketvision.training.tuning import TuneSettings, tune

_TUNING_STEPS = 50
"""After so many steps of a tuning there is a note."""


class Tuner:
    """Augmented batches of labelled images, and the loop that learns from them. The batches go on where they stopped, so that
    several tunings see different views. loss_weights: of several tasks, as in a recipe."""

    def __init__(
        self,
        images: BundleImages,
        preprocessing: Preprocessing,
        *,
        batch: int,
        lr: float,
        seed: int,
        on_event: OnEvent,
        augmentation: str = "standard",
        loss_weights: str | Mapping[str, float] = EQUAL,
    ) -> None:
        self._all, self._loss_weights = images, loss_weights
        self._preprocessing = preprocessing
        self._batch, self._lr, self._seed, self._augmentation = batch, lr, seed, augmentation
        self._on_event = on_event

    @cached_property
    def _images(self) -> BundleImages:
        """Those of which something is said, which are looked for once something is learned."""
        return labelled(self._all)

    @cached_property
    def objective(self) -> Objective:
        """What is minimised. Raises UsageError for a kind of task that nothing learns, and for weights of other tasks."""
        return objective_of(self._images.truth, weights=self._loss_weights)

    def require(self) -> None:
        """Raises UsageError, before any work, where there is nothing to learn from."""
        _ = self.objective

    @cached_property
    def _batches(self) -> Iterator[tuple[Tensor, Targets]]:
        return batches_of(
            self._images,
            self.objective,
            self._preprocessing,
            batch=self._batch,
            seed=self._seed,
            augmentation=self._augmentation,
        )

    def some(self, count: int) -> list[tuple[Tensor, Targets]]:
        """The next `count` batches: images (N, 3, H, W) and the objective's targets."""
        return [next(self._batches) for _ in range(count)]

    def tune(
        self,
        network: Network,
        epochs: float,
        *,
        teacher: Network | None = None,
        after_step: Callable[[], None] = lambda: None,
    ) -> None:
        """Train all weights of `network` in place for so many epochs, whole or not; with a teacher half of it from that network's
        answers (training/tuning.py). Raises UsageError where nothing is said to learn from, TrainingError, ImageError."""
        if epochs == 0:
            return
        steps = round(epochs * len(self._images) / self._batch)
        if steps == 0:
            return
        network.requires_grad_(True)

        def after_each(step: StepProgress) -> None:
            after_step()
            report_tuning_step(self._on_event, step, steps)

        tune(
            network,
            self._batches,
            TuneSettings(steps, self._lr),
            objective=self.objective,
            seed=self._seed,
            teacher=teacher,
            on_step=after_each,
        )


def labelled(images: BundleImages) -> BundleImages:
    """Those of which something is said. Raises UsageError where that is none."""
    present = [each.present for each in images.truth.values()]
    rows = np.flatnonzero(np.any(present, axis=0)) if present else np.empty(0, np.int64)
    if len(rows) == 0:
        raise UsageError(
            "Tuning learns from what is said of images, and nothing is said of these: leave it out (0 epochs)."
        )
    return images if len(rows) == len(images) else images.select(rows)


def batches_of(
    images: BundleImages,
    objective: Objective,
    preprocessing: Preprocessing,
    *,
    batch: int,
    seed: int,
    augmentation: str,
) -> Iterator[tuple[Tensor, Targets]]:
    """Augmented batches of images and their targets, without end."""
    views = augmentation_of(augmentation, images.truth)
    return image_batches(images.files, objective.targets, preprocessing, batch=batch, seed=seed, augmentation=views)


def report_tuning_step(on_event: OnEvent, step: StepProgress, steps: int) -> None:
    """A note of every fiftieth step of a tuning, and of its last."""
    if step.step % _TUNING_STEPS == 0 or step.step == steps:
        on_event(
            Note(
                f"Tuning {step.step}/{steps}: loss {step.loss:.3f}, {step.accuracy:.1%} right, "
                f"{step.images_per_second:.0f} images/s"
            )
        )
