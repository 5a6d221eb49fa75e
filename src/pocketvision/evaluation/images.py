"""The labelled images that a bundle is measured on: read by its classes' names, of a split, and which of them it has seen."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from pocketvision.bundle import Bundle
from pocketvision.data.learned_from import Matches, known_to, looked_up
from pocketvision.data.samples import SPLIT_NAMES, SPLITS, Samples
from pocketvision.data.small_classes import large_enough, only_classes
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.sources.in_memory import InMemory
from pocketvision.data.table_rows import Columns
from pocketvision.errors import UsageError, unknown_name
from pocketvision.evaluation.overlap import Role
from pocketvision.models.imagenet_classes import imagenet_classes, imagenet_synsets
from pocketvision.progress import Counted, Note, OnEvent
from pocketvision.runtime.backends import usable_cores
from pocketvision.tasks.classification.truth import class_truth

# What images of these splits were to whatever was trained on their data, where its bundle keeps no hashes to tell.
_ROLES: dict[str | None, Role] = {"train": "learned", "val": "selection"}


def labelled_images(
    bundle: Bundle,
    given: Path | InMemory,
    columns: Columns,
    *,
    format: str | None,
    images: str | Path | None,
    ignore: int | None = None,
    min_per_class: int = 1,
    split: str | None,
    usual: str = "test",
    on_event: OnEvent,
) -> tuple[Samples, str | None, Path]:
    """The images to measure a bundle on, the split that they are of, and where they come from.

    usual: the split that is taken where none is named and the data has it; None of the splits otherwise.
    """
    if isinstance(given, InMemory):
        source, read = Path(given.name), given.reader()
    else:
        source = given
        read = partial(
            read_samples,
            given,
            format=format,
            task=bundle.only_kind,
            path_column=columns.path,
            label_column=columns.label,
            split_column=columns.split,
            group_column=columns.group,
            box_columns=columns.box,
            images=images,
            ignore=ignore,
        )
    samples = _labelled(read, bundle.asked_labels, min_per_class, on_event)
    return *_chosen(samples, split, usual, source), source


def role_of(split: str | None, matches: Matches | None) -> Role:
    """What images of a split were to the training, as far as is known."""
    return _ROLES.get(split, "given") if matches is None else "given"


def seen_before(
    bundle: Bundle, samples: Samples, workers: int | None, max_pixels: int, on_event: OnEvent
) -> Matches | None:
    """Which of the images the bundle has seen in its training; None where it keeps no hashes."""
    known = known_to(bundle)
    if known is None:
        return None
    matches, _ = looked_up(
        known,
        [samples.file(index) for index in range(len(samples))],
        workers=usable_cores() if workers is None else workers,
        max_pixels=max_pixels,
        on_progress=lambda done, total: on_event(Counted("compare", done, total)),
    )
    return matches


def refuse_trained(samples: Samples, split: str | None, data: Path) -> None:
    """Raise UsageError for a baseline of images that a bundle may have learned from."""
    trained = samples.splits is not None and split is None and len(samples.split_indices("train")) > 0
    if split == "train" or trained:
        raise UsageError(
            f"A baseline is not measured on training images, of which a network is surer than of new ones: take another split of "
            f"{data} (--split val)."
        )


def _labelled(
    read: Callable[..., Samples], labels: tuple[str, ...] | None, min_per_class: int, on_event: OnEvent
) -> Samples:
    """The samples, by the names that the network has for their classes. How they were read, and what was left out, is noted."""
    samples = _by_synset(read) if labels == imagenet_classes() else None
    if samples is None:  # a class that is too small may be one that the network does not know
        samples = read(labels=labels if min_per_class == 1 else None)
    chosen = large_enough(samples, min_per_class) | (samples.class_counts() == 0)
    samples = samples if chosen.all() else only_classes(samples, chosen, min_per_class)
    for line in samples.account:
        on_event(Note(line))
    return samples


def _chosen(samples: Samples, split: str | None, usual: str, data: Path) -> tuple[Samples, str | None]:
    """The images that are asked for, and the split that they are of: the usual one, where none is named and it is there."""
    if split is None:
        has_usual = samples.splits is not None and len(samples.split_indices(usual)) > 0
        return (_of_split(samples, usual, data), usual) if has_usual else (samples, None)
    place = SPLIT_NAMES.get(split.lower())
    if place is None:
        raise unknown_name("split", split, SPLITS)
    return _of_split(samples, SPLITS[place], data), SPLITS[place]


def _by_synset(read: Callable[..., Samples]) -> Samples | None:
    """The samples under their classes' names, when what they are labelled with are ImageNet's WordNet ids."""
    try:
        samples = read(labels=imagenet_synsets())
        return replace(samples, truth=class_truth(samples.labels, imagenet_classes()))
    except UsageError:
        return None  # other names, or something that reading them by the network's labels will say


def _of_split(samples: Samples, split: str, data: Path) -> Samples:
    chosen = np.array([]) if samples.splits is None else samples.split_indices(split)
    if len(chosen) == 0:
        found = "no splits" if samples.splits is None else f"no images in its {split} split"
        raise UsageError(f"{data} has {found}. Leave the split out to evaluate every image.")
    return samples.select(chosen)
