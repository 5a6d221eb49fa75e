"""Tuning all weights of a bundle's network for a few epochs: what pruning and a smaller input are followed by."""

from collections.abc import Callable, Iterator
from functools import cached_property

from torch import Tensor

from pocketvision.compression.bundle_images import BundleImages
from pocketvision.models.network import Network
from pocketvision.preprocessing import Preprocessing
from pocketvision.progress import Note, OnEvent, StepProgress
from pocketvision.training.image_batches import image_batches
from pocketvision.training.tuning import TuneSettings, require_tunable, tune

_TUNING_STEPS = 50
"""After so many steps of a tuning there is a note."""


class Tuner:
    """Augmented batches of labelled images, and the loop that learns from them. The batches go on where they stopped, so that
    several tunings see different views."""

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
    ) -> None:
        self._images = len(images)
        self._batch, self._lr, self._seed = batch, lr, seed
        self._on_event = on_event
        self._open: Callable[[], Iterator[tuple[Tensor, Tensor]]] = lambda: image_batches(
            images.files, images.labels, preprocessing, batch=batch, seed=seed, augmentation=augmentation
        )

    @cached_property
    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Opened once something is learned: images without classes do for what learns nothing."""
        return self._open()

    def some(self, count: int) -> list[tuple[Tensor, Tensor]]:
        """The next `count` batches: images (N, 3, H, W) and labels (N,)."""
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
        answers (training/tuning.py). Raises UsageError for what is no classifier, TrainingError, ImageError."""
        if epochs:
            require_tunable(network)
        steps = round(epochs * self._images / self._batch)
        if steps == 0:
            return
        network.requires_grad_(True)

        def after_each(step: StepProgress) -> None:
            after_step()
            report_tuning_step(self._on_event, step, steps)

        tune(
            network, self._batches, TuneSettings(steps, self._lr), seed=self._seed, teacher=teacher, on_step=after_each
        )


def report_tuning_step(on_event: OnEvent, step: StepProgress, steps: int) -> None:
    """A note of every fiftieth step of a tuning, and of its last."""
    if step.step % _TUNING_STEPS == 0 or step.step == steps:
        on_event(
            Note(
                f"Tuning {step.step}/{steps}: loss {step.loss:.3f}, accuracy {step.accuracy:.1%}, "
                f"{step.images_per_second:.0f} images/s"
            )
        )
