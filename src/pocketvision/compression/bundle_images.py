"""The labelled images that a finished bundle is measured on, or calibrated with: never both."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.compression.variant import Placed, Run, answered
from pocketvision.data.demo_faces import some_pictures
from pocketvision.data.learned_from import FILE as HASHES
from pocketvision.data.learned_from import SAME, Matches, file_of, fingerprints_of, known_to, looked_up
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.splits import make_split, write_split_csv
from pocketvision.errors import ImageError, UsageError
from pocketvision.evaluation.overlap import UNKNOWN, WORDS, Overlap, Role, without_seen
from pocketvision.export.shipping import evenly
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.printable import counted
from pocketvision.progress import Note, OnEvent
from pocketvision.runtime.backends import open_backend, usable_cores
from pocketvision.runtime.batches import Outputs
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.comparing import Answered, fitted_truth
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.tasks.truth import Truth

_BATCH = 32


@dataclass(frozen=True, eq=False)
class BundleImages:
    """N files with what was said of them, by the bundle's tasks and their labels; nothing of pictures without truth.

    role: what they were to the bundle's training (evaluation/overlap.py). overlap: of the images they were taken from, those that
    the bundle learned from, which are left out; None where that can not be known.
    """

    files: tuple[Path, ...]
    truth: Mapping[str, Truth]
    preprocessing: Preprocessing
    role: Role = "given"
    overlap: Overlap | None = None

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int) -> NDArray[np.float32]:
        """Preprocessed image `index`, (3, H, W). Raises ImageError."""
        return self.preprocessing(self.files[index])

    def batches(self, size: int = _BATCH) -> Iterator[NDArray[np.float32]]:
        """The inputs alone."""
        yield from (images for images, _ in self.placed_batches(size))

    def placed_batches(self, size: int = _BATCH) -> Iterator[Placed]:
        """All of them in order, preprocessed, in batches of at most `size`, with where each image lies in its input."""
        loaded = iter(prefetch(self.placed, range(len(self)), ahead=2 * size))
        while chunk := list(islice(loaded, size)):
            yield np.stack([image for image, _ in chunk]), [placement for _, placement in chunk]

    def placed(self, index: int) -> tuple[NDArray[np.float32], Placement]:
        """The same, and where the image lies in it. Raises ImageError."""
        return self.preprocessing.place(self.files[index])

    @cached_property
    def placements(self) -> list[Placement]:
        """Where each image lies in its input; all are decoded for it, once."""
        return list(prefetch(lambda index: self.placed(index)[1], range(len(self))))

    def answers(self, run: Callable[[NDArray[np.float32]], Outputs], batch: int = _BATCH) -> Outputs:
        """A graph's outputs for all of them, by name, (N, …) each."""
        found = [run(images) for images in self.batches(batch)]
        return {name: np.concatenate([each[name] for each in found]) for name in found[0]}

    def answered(self, tasks: Mapping[str, TaskManifest], run: Run) -> Answered:
        """What `run` answers to all of them, beside their truth."""
        return answered(tasks, run, self.placed_batches(), self.truth)

    def select(self, indices: NDArray[np.int64]) -> "BundleImages":
        """Those at `indices`."""
        truth = {name: each.select(indices) for name, each in self.truth.items()}
        return replace(self, files=tuple(self.files[index] for index in indices.tolist()), truth=truth)

    def some(self, count: int) -> "BundleImages":
        """At most `count` of them, evenly chosen."""
        return self.select(np.array(evenly(len(self), count), np.int64))


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
    the half that calibration_images leaves. most: at most so many of them, evenly chosen before any is read (None: all). What the
    bundle learned from is left out, and said with the figures of both; the run's own validation images are called the selection
    that they are.
    Raises UsageError for data without such images or with classes that the bundle does not know.
    """
    given = _data_or_run(bundle, data)
    if given is None:
        on_event(Note("No --data: answers are compared on embedded pictures, without labels; no figure is judged."))
        pictures = BundleImages(tuple(some_pictures()), {}, bundle.preprocessing)
        return pictures if most is None else pictures.some(most)
    found, matches = _images(bundle, Path(given), "val", images, most, on_event)
    return _without_learned(bundle, found, matches, own=data is None, on_event=on_event)


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
    data = _data_or_run(bundle, data)
    if data is None:
        raise UsageError(
            f"{bundle.folder} lies in no run, so it is not known which images to calibrate with: give --data."
        )
    found, _ = _images(bundle, Path(data), "train", images, most, on_event)
    return replace(found, role="learned")


def hashes_for(bundle: Bundle, learning: BundleImages | None) -> dict[str, Path | bytes]:
    """The file of hashes, by its name, of a bundle that is made from `bundle`: what that learned from, and the images that were
    learned from since. None of a bundle that keeps none: what it learned from stays unknown."""
    known = known_to(bundle)
    if known is None or learning is None:
        return {**file_of(bundle)}
    content, numbers, unreadable = fingerprints_of(learning.files, workers=usable_cores())
    new = ~np.isin(content, known.content[(known.splits == SPLITS.index("train")) & (known.kinds == SAME)])
    new[list(unreadable)] = False
    return {HASHES: known.with_more(content[new], numbers[new]).to_bytes()}


def _without_learned(
    bundle: Bundle, found: BundleImages, matches: Matches | None, *, own: bool, on_event: OnEvent
) -> BundleImages:
    """The images that the bundle has not learned from, as far as there are any; `own` are its run's validation split."""
    if matches is None:
        role: Role = "selection" if own else "given"
        on_event(
            Note(f"{counted(len(found), 'image')} to measure on, {WORDS[role]}" + ("." if own else f"; {UNKNOWN}."))
        )
        return replace(found, role=role)
    role, kept, overlap = without_seen("selection" if own else "given", matches, [str(file) for file in found.files])
    left = replace(found.select(np.flatnonzero(kept)), role=role, overlap=overlap)
    on_event(Note(f"{counted(len(left), 'image')} to measure on, {WORDS[role]}."))
    if overlap.left_out:
        on_event(Note(_both_figures(bundle, found, kept, overlap)))
    return left


def _both_figures(bundle: Bundle, found: BundleImages, kept: NDArray[np.bool_], overlap: Overlap) -> str:
    """What is left out, and the bundle's own figures with it and without."""
    records = found.answered(bundle.tasks, open_backend(bundle).run).records
    sentences = [overlap.text]
    for name, task in bundle.tasks.items():
        headlines = [
            task_named(task.kind).measuring().measure(chosen, task, MeasureOptions()).headline
            for rows in (np.flatnonzero(kept).tolist(), range(len(kept)))
            if (chosen := [records[name][row] for row in rows if records[name][row] is not None])
        ]
        if len(headlines) == 2:
            left, whole = headlines
            of = "" if len(bundle.tasks) == 1 else f" of {name}"
            sentences.append(
                f"The bundle's own {left.name}{of} is {left.value:.1%} without them, {whole.value:.1%} with them"
            )
    return ". ".join(sentences) + "."


def write_splits(
    bundle: Bundle, data: str | Path | None, path: Path, on_event: OnEvent, images: str | Path | None = None
) -> None:
    """Write a table of the images above, both kinds, with their splits: steps that are given it all learn from the same images,
    and are judged on the same others. Raises UsageError as they do."""
    given = _data_or_run(bundle, data)
    if given is None:
        raise UsageError(f"{bundle.folder} lies in no run, so it is not known which images to learn from: give --data.")
    write_split_csv(path, _with_splits(_read(bundle, given, images, on_event), Path(given), on_event))


def _data_or_run(bundle: Bundle, data: str | Path | None) -> str | Path | None:
    split = bundle.folder.resolve().parent / "split.csv"
    return data if data is not None else split if split.is_file() else None


def _images(
    bundle: Bundle, data: Path, split: str, images: str | Path | None, most: int | None, on_event: OnEvent
) -> tuple[BundleImages, Matches | None]:
    """The readable images of a split, and which of them the bundle has seen, where it keeps hashes to tell."""
    samples = _with_splits(_read(bundle, data, images, on_event), data, on_event)
    chosen = samples.split_indices(split)
    if len(chosen) == 0:
        others = ", ".join(f"{len(samples.split_indices(name))} {name}" for name in SPLITS)
        raise UsageError(f"{data} has no images in its {split} split, which are needed here (it has {others}).")
    if most is not None:
        chosen = chosen[evenly(len(chosen), most)]
    return _readable(samples.select(chosen), bundle, on_event)


def _read(bundle: Bundle, data: str | Path, images: str | Path | None, on_event: OnEvent) -> Samples:
    samples = read_samples(data, task=bundle.only_kind, labels=bundle.asked_labels, images=images)
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
            samples.strata, clusters=clusters, val_share=0.5, test_share=0.0, seed=0, class_names=samples.class_names
        )
    )


def _clusters(groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """Images of one group in one cluster, every other image in its own."""
    alone = np.arange(len(groups)) + int(groups.max(initial=-1)) + 1
    return np.where(groups >= 0, groups, alone).astype(np.int64)


def _readable(samples: Samples, bundle: Bundle, on_event: OnEvent) -> tuple[BundleImages, Matches | None]:
    """Those whose pixels can be had; a line for each that can not."""
    truth = fitted_truth(bundle.tasks, samples.truth, str(samples.root))
    files = [samples.file(index) for index in range(len(samples))]
    known, matches = known_to(bundle), None
    if known is None:
        unreadable = _undecodable(files, bundle.preprocessing)
    else:
        matches, unreadable = looked_up(known, files, workers=usable_cores())
    for text in unreadable.values():
        on_event(Note(f"Skipped {text}"))
    kept = np.array([index for index in range(len(files)) if index not in unreadable], np.int64)
    if len(kept) == 0:
        raise UsageError(f"{samples.root}: of {counted(len(files), 'image')} none can be read.")
    images = BundleImages(tuple(files), truth, bundle.preprocessing).select(kept)
    return images, None if matches is None else matches.of(kept)


def _undecodable(files: Sequence[Path], preprocessing: Preprocessing) -> dict[int, str]:
    """The reason of each file that can not be read, by its place."""

    def reason(file: Path) -> str | None:
        try:
            preprocessing.decode(file)
        except ImageError as error:
            return str(error)
        return None

    return {index: text for index, text in enumerate(prefetch(reason, files)) if text is not None}
