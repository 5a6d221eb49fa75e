"""Several bundles that are to become one: what they have to share, and the images that none of them has learned from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pocketvision.bundle import Bundle
from pocketvision.compression.bundle_images import BundleImages, measuring_images
from pocketvision.compression.variant import Run
from pocketvision.data.learned_from import FILE as HASHES
from pocketvision.data.learned_from import SAME, LearnedFrom, known_to, looked_up
from pocketvision.data.samples import SPLITS
from pocketvision.errors import UsageError
from pocketvision.printable import counted, quoted
from pocketvision.progress import Note, OnEvent
from pocketvision.runtime.backends import usable_cores
from pocketvision.statistics import Headline
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.manifest import VIEWED, TaskManifest
from pocketvision.tasks.measuring import MeasureOptions

_NAMED = 20


def require_alike(bundles: Sequence[Bundle]) -> None:
    """Raise UsageError, with the difference, for bundles that do not see images alike or do not answer the same tasks and
    classes, in whatever order, and for fewer than two."""
    if len(bundles) < 2:
        raise UsageError(f"{counted(len(bundles), 'bundle')} were given; expected two or more.")
    first, *others = bundles
    for other in others:
        own, its = first.preprocessing.to_dict(), other.preprocessing.to_dict()
        parts = [f"{name} {own[name]} and {its.get(name)}" for name in own if own[name] != its.get(name)]
        if parts:
            raise UsageError(
                f"{first.folder} and {other.folder} do not see images alike: {'; '.join(parts)}. Expected the same "
                "preprocessing: train them with the same --size and model family."
            )
        told = [{name: task.kind for name, task in each.tasks.items()} for each in (first, other)]
        if told[0] != told[1]:
            answers = [", ".join(f"{name} ({kind})" for name, kind in each.items()) for each in told]
            raise UsageError(
                f"{first.folder} answers {answers[0]}, {other.folder} {answers[1]}. Expected the same tasks."
            )
        for name, task in first.tasks.items():
            _require_same_answers(first, other, task, other.tasks[name])


def _require_same_answers(first: Bundle, other: Bundle, own: TaskManifest, its: TaskManifest) -> None:
    if sorted(own.labels) != sorted(its.labels):
        raise UsageError(
            f"{first.folder} knows {_listed(own.labels)}, {other.folder} {_listed(its.labels)}. Expected the same classes."
        )
    for name in VIEWED:
        parts = [each.postprocessing.get(name) for each in (own, its)]
        if parts[0] != parts[1]:
            raise UsageError(
                f"{first.folder} looks at pictures with {name} {parts[0]}, {other.folder} with {parts[1]}. Expected the same."
            )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(quoted, names[:_NAMED])) + more


def new_to_all(
    bundles: Sequence[Bundle], data: str | Path | None, images: str | Path | None, on_event: OnEvent
) -> BundleImages:
    """The images that the first is measured on (bundle_images.py), without those that another one has learned from, said with
    their number. Raises UsageError where none is left."""
    found = measuring_images(bundles[0], data, on_event, images)
    if not found.truth:
        return found
    for other in bundles[1:]:
        known = known_to(other)
        if known is None:
            on_event(Note(f"{other.folder} keeps no hashes: it may have learned from images that it is measured on."))
            continue
        matches, _ = looked_up(known, found.files, workers=usable_cores())
        seen = (matches.kinds == SAME) & (matches.splits == SPLITS.index("train"))
        if seen.all():
            raise UsageError(
                f"{other.folder} has learned from all {counted(len(found), 'image')} that {bundles[0].folder} is measured on. "
                "Give labelled images that are new to all of them: --data."
            )
        if seen.any():
            on_event(Note(f"{counted(int(seen.sum()), 'image')} left out, which {other.folder} has learned from."))
            found = found.select(np.flatnonzero(~seen))
    return found


def hashes_of_all(bundles: Sequence[Bundle]) -> dict[str, Path | bytes]:
    """The file of hashes, by its name, of what is made of them all: what any of them has seen. None where one keeps none: what it
    learned from stays unknown."""
    known = [each for bundle in bundles if (each := known_to(bundle)) is not None]
    if len(known) < len(bundles):
        return {}
    whole = known[0]
    for other in known[1:]:
        whole = _together(whole, other)
    return {HASHES: whole.to_bytes()}


def _together(one: LearnedFrom, other: LearnedFrom) -> LearnedFrom:
    """What both have seen; an image that one of them learned from counts as that."""
    learned = other.content[other.splits == SPLITS.index("train")]
    kept = ~np.isin(one.content, learned)
    new = ~np.isin(other.content, one.content[kept])
    content, perceptual, splits, kinds = (
        np.concatenate([getattr(one, name)[kept], getattr(other, name)[new]])
        for name in ("content", "perceptual", "splits", "kinds")
    )
    nearest = min(one.near_limit, other.near_limit)
    return LearnedFrom(content, perceptual, splits, kinds, nearest, max(one.false_matches, other.false_matches))


def headlines(tasks: Mapping[str, TaskManifest], images: BundleImages, run: Run) -> dict[str, Headline]:
    """How good what `run` answers is, by task; of tasks whose truth some image has."""
    records = images.answered(tasks, run).records
    found = {}
    for name, task in tasks.items():
        own = [each for each in records[name] if each is not None] if name in images.truth else []
        if own:
            found[name] = task_named(task.kind).measuring().measure(own, task, MeasureOptions()).headline
    return found
