"""The labelled images that a finished bundle is measured on, or calibrated with: never both."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.data.demo_faces import some_pictures
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.data.sources import read_samples
from pocketvision.data.splits import make_split, write_split_csv
from pocketvision.errors import ImageError, UsageError
from pocketvision.evaluation.evaluate import matched_labels
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import Preprocessing
from pocketvision.workflows.progress import Note, OnEvent

CALIBRATION = 128
"""Images that the ranges of 8 bits are found on, unless another number is asked for."""

_BATCH = 32


@dataclass(frozen=True, eq=False)
class BundleImages:
    """Files with their true classes (N,), an index into the bundle's labels; None when they are unlabelled pictures."""

    files: tuple[Path, ...]
    truth: NDArray[np.int64] | None
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int) -> NDArray[np.float32]:
        """Preprocessed image `index`, (3, H, W). Raises ImageError."""
        return self.preprocessing(self.files[index])

    def batches(self, size: int = _BATCH) -> Iterator[NDArray[np.float32]]:
        """All of them in order, preprocessed, in batches of at most `size`."""
        loaded = prefetch(self.load, range(len(self)), ahead=2 * size)
        waiting: list[NDArray[np.float32]] = []
        for image in loaded:
            waiting.append(image)
            if len(waiting) == size:
                yield np.stack(waiting)
                waiting = []
        if waiting:
            yield np.stack(waiting)

    def answers(
        self, run: Callable[[NDArray[np.float32]], NDArray[np.float32]], batch: int = _BATCH
    ) -> NDArray[np.float32]:
        """What `run` answers to all of them: probabilities (N, classes)."""
        return np.concatenate([run(images) for images in self.batches(batch)])

    def some(self, count: int) -> "BundleImages":
        """At most `count` of them, evenly chosen."""
        chosen = _evenly(len(self), count).tolist()
        truth = None if self.truth is None else self.truth[chosen]
        return BundleImages(tuple(self.files[index] for index in chosen), truth, self.preprocessing)


def _evenly(total: int, count: int) -> NDArray[np.int64]:
    """At most `count` of the indices below `total`, evenly spread."""
    return np.unique(np.linspace(0, total - 1, min(total, count)).astype(np.int64))


def measuring_images(
    bundle: Bundle,
    data: str | Path | None,
    on_event: OnEvent,
    images: str | Path | None = None,
    *,
    most: int | None = None,
) -> BundleImages:
    """What a bundle's files are measured on: the validation split of `data`; of the run that the bundle lies in, when data is
    None; and for a bundle without a run the embedded face pictures, unlabelled, with a note.

    images: where a table's relative paths start; None is its folder. Data without splits is measured on half of its images,
    the half that calibration_images leaves. most: at most so many of them, evenly chosen before any is read (None: all).
    Raises UsageError for data without such images or with classes that the bundle does not know.
    """
    data = _given_or_of_the_run(bundle, data)
    if data is None:
        on_event(Note("No --data: answers are compared on embedded pictures, without labels; there is no accuracy."))
        pictures = BundleImages(tuple(some_pictures()), None, bundle.preprocessing)
        return pictures if most is None else pictures.some(most)
    return _images(bundle, Path(data), "val", images, most, on_event)


def calibration_images(
    bundle: Bundle,
    data: str | Path | None,
    on_event: OnEvent,
    images: str | Path | None = None,
    *,
    most: int | None = None,
) -> BundleImages:
    """What a quantization is calibrated with: the training split of `data`, or of the run that the bundle lies in.
    most: as above.

    Raises UsageError when there are neither, or no such images.
    """
    data = _given_or_of_the_run(bundle, data)
    if data is None:
        raise UsageError(
            f"{bundle.folder} lies in no run, so it is not known which images to calibrate with: give --data."
        )
    return _images(bundle, Path(data), "train", images, most, on_event)


def write_splits(
    bundle: Bundle, data: str | Path | None, path: Path, on_event: OnEvent, images: str | Path | None = None
) -> None:
    """Write a table of the images above, both kinds, with their splits: steps that are given it all learn from the same images,
    and are judged on the same others. Raises UsageError as they do."""
    given = _given_or_of_the_run(bundle, data)
    if given is None:
        raise UsageError(f"{bundle.folder} lies in no run, so it is not known which images to learn from: give --data.")
    write_split_csv(path, _with_splits(_read(bundle, given, images, on_event), Path(given), on_event))


def _given_or_of_the_run(bundle: Bundle, data: str | Path | None) -> str | Path | None:
    split = bundle.folder.resolve().parent / "split.csv"
    return data if data is not None else split if split.is_file() else None


def _images(
    bundle: Bundle, data: Path, split: str, images: str | Path | None, most: int | None, on_event: OnEvent
) -> BundleImages:
    samples = _with_splits(_read(bundle, data, images, on_event), data, on_event)
    chosen = samples.split_indices(split)
    if len(chosen) == 0:
        others = ", ".join(f"{len(samples.split_indices(name))} {name}" for name in SPLITS)
        raise UsageError(f"{data} has no images in its {split} split, which are needed here (it has {others}).")
    if most is not None:
        chosen = chosen[_evenly(len(chosen), most)]
    return _readable(samples.select(chosen), bundle, on_event)


def _read(bundle: Bundle, data: str | Path, images: str | Path | None, on_event: OnEvent) -> Samples:
    samples = read_samples(data, labels=bundle.labels, images=images)
    for line in samples.account:
        on_event(Note(line))
    return samples


def _with_splits(samples: Samples, data: Path, on_event: OnEvent) -> Samples:
    if samples.splits is not None:
        return samples
    on_event(Note(f"{data} has no splits: one half of it is learned from or calibrates, the other is measured on."))
    return _halved(samples)


def _halved(samples: Samples) -> Samples:
    clusters = np.arange(len(samples)) if samples.groups is None else _clusters(samples.groups)
    return samples.with_splits(
        make_split(
            samples.labels, clusters=clusters, val_share=0.5, test_share=0.0, seed=0, class_names=samples.class_names
        )
    )


def _clusters(groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """Images of one group in one cluster, every other image in its own."""
    alone = np.arange(len(groups)) + int(groups.max(initial=-1)) + 1
    return np.where(groups >= 0, groups, alone).astype(np.int64)


def _readable(samples: Samples, bundle: Bundle, on_event: OnEvent) -> BundleImages:
    """Those whose pixels can be had; a line for each that can not."""
    truth = matched_labels(samples, bundle.labels)
    files = [samples.file(index) for index in range(len(samples))]

    def reason(file: Path) -> str | None:
        try:
            bundle.preprocessing.decode(file)
        except ImageError as error:
            return str(error)
        return None

    reasons: Sequence[str | None] = list(prefetch(reason, files))
    for text in reasons:
        if text is not None:
            on_event(Note(f"Skipped {text}"))
    kept = [index for index, text in enumerate(reasons) if text is None]
    if not kept:
        raise UsageError(f"None of the {len(files)} images of {samples.root} can be read.")
    return BundleImages(tuple(files[index] for index in kept), truth[kept], bundle.preprocessing)
