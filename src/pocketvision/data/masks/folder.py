"""Samples from images and mask files: every mask looked at once, its size compared with its image's, its values understood."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.boxes.picture_sizes import stored_sizes
from pocketvision.data.boxes.problems import Problems
from pocketvision.data.class_names import ordered_class_names, spelled
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.masks.class_table import ClassTable
from pocketvision.data.masks.encoding import Encoding, encoding_of
from pocketvision.data.masks.files import MaskFiles
from pocketvision.data.masks.pairing import Pairs
from pocketvision.data.masks.problems import MASK_PROBLEMS
from pocketvision.data.masks.survey import COLOUR, MaskFacts, facts_of
from pocketvision.data.samples import Samples
from pocketvision.errors import ImageError, UsageError
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing.rgb import SIDEWAYS
from pocketvision.printable import counted
from pocketvision.tasks.segmentation.truth import NOTHING, SEGMENTATION, MaskLabels

SAME_SHAPE = 0.01
"""How far the ratios of sides of an image and its mask may be apart, as a share."""

_USUAL = ("not_an_image", "hidden", "system_folder")
_BLENDED = 0.0005
"""The share of a mask's pixels from which on values between those of classes are worth telling."""


@dataclass(frozen=True)
class Masked:
    """What was found of a source. where: it, for messages. table: what its classes are called; encoding: given where the format
    says what values stand for. groups: of the pairs, empty texts for none. ignore: the value of no class, beside 255."""

    where: Path
    root: Path
    pairs: Pairs
    table: ClassTable | None = None
    encoding: Encoding | None = None
    labels: tuple[str, ...] | None = None
    groups: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()
    ignore: int | None = None


def samples_of(masked: Masked, counter: LeftOutCounter) -> Samples:
    """Raises UsageError where no mask is left, values can not be understood, or a class is not among the labels."""
    problems, pairs = Problems(MASK_PROBLEMS), masked.pairs
    for kind, paths in (
        ("images_without_masks", pairs.without_mask),
        ("masks_without_images", pairs.without_image),
        ("several_masks", pairs.several),
    ):
        for path in paths:
            problems.add(kind, path, path)
    facts = _surveyed(masked, problems)
    sizes = stored_sizes(masked.root / each.image for each in pairs.pairs)
    turns, fits = _turns(masked, facts, sizes, problems)
    kept = [place for place in range(len(facts)) if fits[place]]
    if not kept:
        raise _nothing(masked, problems)
    known = [each for place in kept if (each := facts[place]) is not None]
    encoding, ignoring = _encoding(masked, known)
    _note_values(masked, encoding, kept, known, problems)
    masks = MaskFiles(masked.root, tuple(pairs.pairs[place].mask for place in kept), turns[kept], encoding)
    truth = _ordered(_truth(masks, encoding, known), masked, problems)
    splits, reading = _splits(np.array([pairs.pairs[place].split for place in kept], np.int8))
    return Samples(
        masked.root,
        [pairs.pairs[place].image for place in kept],
        {SEGMENTATION: truth},
        groups=_groups([masked.groups[place] for place in kept]) if masked.groups else None,
        splits=splits,
        left_out=tuple(each for each in counter.result() if each.reason not in _USUAL),
        reading=(*masked.reading, *encoding.reading, *ignoring, *reading),
        found=problems.findings(),
    )


def _encoding(masked: Masked, known: Sequence[MaskFacts]) -> tuple[Encoding, tuple[str, ...]]:
    """What the values stand for, and a sentence where one of them was said to be of no class. Raises UsageError for a value
    that masks in colours can not have."""
    ignored = masked.ignore
    left = known if ignored is None else [each.without(ignored) for each in known]
    encoding = masked.encoding or encoding_of(left, masked.table, masked.labels, str(masked.where))
    if ignored is None:
        return encoding, ()
    if all(each.form == COLOUR for each in known):
        raise UsageError(
            f"{masked.where}: the value {ignored} is to be of no class, and the masks are in colours. Name that colour in "
            "classes.txt instead, as in `void 0 0 0`."
        )
    pixels = sum(int(each.counts[each.codes == ignored].sum()) for each in known if each.form != COLOUR)
    said = "neither learned nor measured" if pixels else "but no mask has any"
    others = sorted({code for each in left if each.form != COLOUR for code in each.codes[each.counts > 0].tolist()})
    alone = f" Every other pixel has the value {others[0]}: is it meant?" if pixels and len(others) == 1 else ""
    return replace(encoding, ignored=ignored), (f"Pixels of the value {ignored} are of no class: {said}.{alone}",)


def _surveyed(masked: Masked, problems: Problems) -> list[MaskFacts | None]:
    """None of a mask that can not be read."""

    def look(path: str) -> MaskFacts | str:
        try:
            return facts_of(masked.root / path)
        except ImageError as error:
            return error.reason

    found: list[MaskFacts | None] = []
    paths = [each.mask for each in masked.pairs.pairs]
    for path, facts in zip(paths, prefetch(look, paths, workers=2, ahead=4), strict=True):
        if isinstance(facts, str):
            problems.add("unreadable_mask", facts, path)
        found.append(None if isinstance(facts, str) else facts)
    return found


def _turns(
    masked: Masked, facts: Sequence[MaskFacts | None], sizes: NDArray[np.int64], problems: Problems
) -> tuple[NDArray[np.uint8], list[bool]]:
    """How each mask has to be turned, and whether it fits its image. An image that can not be read is told by the audit."""
    turns, fits = np.ones(len(facts), np.uint8), []
    for place, each in enumerate(facts):
        width, height, orientation = sizes[place].tolist()
        if each is None or not width:
            fits.append(each is not None)
            continue
        stored = width, height
        upright = (height, width) if orientation in SIDEWAYS else stored
        path = masked.pairs.pairs[place].mask
        example = f"{each.size[0]} x {each.size[1]} for {upright[0]} x {upright[1]}"
        if each.size == stored != upright:
            turns[place] = orientation
            problems.add("turned_masks", path, path)
        elif each.size != upright and _same_shape(each.size, upright):
            problems.add("mask_size_differs", example, path)
        elif each.size != upright:
            problems.add("mask_of_other_shape", example, path)
            fits.append(False)
            continue
        fits.append(True)
    return turns, fits


def _same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    crossed, back = one[0] * other[1], one[1] * other[0]
    return abs(crossed - back) <= SAME_SHAPE * max(crossed, back)


def _note_values(
    masked: Masked, encoding: Encoding, kept: Sequence[int], known: Sequence[MaskFacts], problems: Problems
) -> None:
    for place, facts in zip(kept, known, strict=True):
        path = masked.pairs.pairs[place].mask
        numbers = encoding.numbers(facts.codes, facts.form, facts.palette)
        blended = encoding.is_blended(facts.codes, facts.form)
        total = int(facts.counts.sum()) + facts.rest
        if int(facts.counts[blended].sum()) + facts.rest > _BLENDED * total:
            problems.add("blended_values", str(int(facts.codes[blended][0])) if blended.any() else "", path)
        elif encoding.stretched:
            problems.add("stretched_values", "", path)
        unknown = (
            (numbers == NOTHING) & ~blended & (facts.codes != NOTHING) & ~encoding.is_void(facts.codes, facts.form)
        )
        if unknown.any():
            problems.add("values_of_no_class", str(int(facts.codes[unknown][0])), path)


def _truth(masks: MaskFiles, encoding: Encoding, known: Sequence[MaskFacts]) -> MaskLabels:
    classes = len(encoding.names)
    pixels = np.zeros((len(known), classes + 1), np.int64)
    for row, facts in enumerate(known):
        numbers = encoding.numbers(facts.codes, facts.form, facts.palette)
        numbers = np.where(numbers == NOTHING, classes, numbers).astype(np.int64)
        pixels[row] = np.bincount(numbers, weights=facts.counts, minlength=classes + 1).astype(np.int64)
        pixels[row, -1] += facts.rest
    digests = np.stack([facts.digest for facts in known])
    return MaskLabels(
        masks, encoding.names, np.arange(256, dtype=np.uint8), pixels, digests, np.ones(len(known), np.bool_)
    )


def _ordered(truth: MaskLabels, masked: Masked, problems: Problems) -> MaskLabels:
    """By the labels where a person gave some, else without classes that no mask shows."""
    used = {name for name, count in zip(truth.class_names, truth.class_counts().tolist(), strict=True) if count}
    if not used:
        raise UsageError(
            f"{masked.where}: no pixel of its {len(truth):,} masks is of a class, so there is nothing to learn."
        )
    if masked.labels is not None:
        wanted = {spelled(name) for name in masked.labels}
        missing = used - wanted
        if (
            missing == {truth.class_names[0]}
            and truth.class_names[0] not in wanted
            and len(masked.labels) + 1 == len(truth.class_names)
        ):
            return truth  # a background that the labels leave out
        return truth.in_classes(ordered_class_names(used, masked.labels, str(masked.where)))
    unused = [name for name in truth.class_names if name not in used]
    if unused:
        problems.add("unused_classes", ", ".join(unused[:3]), count=len(unused))
    return truth.in_classes(tuple(name for name in truth.class_names if name in used)) if unused else truth


def _splits(splits: NDArray[np.int8]) -> tuple[NDArray[np.int8] | None, tuple[str, ...]]:
    without = int((splits < 0).sum())
    if without == len(splits):
        return None, ()
    said = f"{counted(without, 'image')} of no split, beside others that are of one: read as train."
    return np.maximum(splits, 0).astype(np.int8), (said,) if without else ()


def _groups(names: Sequence[str]) -> NDArray[np.int32] | None:
    ids: dict[str, int] = {}
    found = np.array([ids.setdefault(name, len(ids)) if name else -1 for name in names], np.int32)
    return found if (found >= 0).any() else None


def _nothing(masked: Masked, problems: Problems) -> UsageError:
    said = problems.findings()
    why = f" {said[0].message}" if said else " Expected images, and masks of the same names in a folder beside them."
    return UsageError(f"{masked.where}: no image has a mask that can be read.{why}")
