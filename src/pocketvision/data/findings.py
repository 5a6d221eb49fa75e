"""Findings: what an audit has to say about labelled images, kind by kind, and how much each kind matters."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.boxes.findings import box_findings
from pocketvision.data.class_names import similar_names
from pocketvision.data.finding import KINDS, Finding
from pocketvision.data.image_files import SUFFIXES
from pocketvision.data.inspection import Inspection
from pocketvision.data.masks.findings import mask_findings
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.preprocessing import FORMATS, FULL_RANGE
from pocketvision.printable import counted, quoted
from pocketvision.tasks.detection.truth import DETECTION
from pocketvision.tasks.segmentation.truth import SEGMENTATION

IMBALANCE = 5.0
"""The largest class over the smallest, from which on classes count as unbalanced."""
TINY = 32
"""Pixels: pictures with a shorter side than this are tiny. Networks of this project halve them five times."""
DAMAGED_NAMES = 8
"""Kinds of damage beside the pixels that are named."""
ODD_ASPECT = 4.0
"""The longer side over the shorter, from which on a centre crop sees too little of a picture."""


def list_findings(samples: Samples, inspection: Inspection) -> tuple[Finding, ...]:
    """Everything found, the worst kinds first and each kind in the samples' order."""
    rank = {kind: place for place, kind in enumerate(KINDS)}
    found = chain.from_iterable(find(samples, inspection) for find in _FINDERS)
    return tuple(sorted(chain(samples.found, found), key=lambda finding: rank[finding.kind]))


def _unreadable(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    for index, reason in inspection.unreadable.items():
        kind = "truncated" if "truncated" in reason else "unreadable"
        yield Finding(kind, f"{reason}. Training leaves it out; replace or remove it.", (samples.paths[index],))


def _wrong_suffixes(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    for index in np.flatnonzero(inspection.readable).tolist():
        path, held = samples.paths[index], FORMATS[inspection.formats[index]]
        suffix = f".{path.rpartition('.')[2].lower()}"
        if SUFFIXES.get(suffix, held) != held:
            yield Finding(
                "wrong_suffix",
                f"Holds {held}, not what {suffix} says. Other programs may refuse it; rename it.",
                (path,),
            )


def _copies(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    for members in _sets(inspection.copies):
        if labels := _different_labels(samples, members):
            message = f"The same picture is labelled {labels}. Keep the right label and remove the others."
            yield _finding("conflicting_labels", message, samples, members)
        else:
            message = "The same picture several times, which gives it more weight. Keep one."
            yield _finding("duplicates", message, samples, members)
        if splits := _different_splits(samples, members):
            message = f"The same picture is in {splits}: figures measured there are too good. Keep it in one split."
            yield _finding("leak", message, samples, members)


def _near_duplicates(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    for members in _sets(inspection.clusters):
        if len(set(inspection.copies[members].tolist())) == 1:
            continue  # exact duplicates alone
        if labels := _different_labels(samples, members):
            message = f"Nearly the same picture is labelled {labels}. Look at them: is one label wrong?"
            yield _finding("near_conflicting_labels", message, samples, members)
        else:
            message = "Nearly the same picture (re-encoded, resized or cropped). A split keeps them together; keep one."
            yield _finding("near_duplicates", message, samples, members)


def _near_leaks(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    """By cluster, and by those pairs that were confirmed but lie in two clusters."""
    cut = inspection.near_pairs[np.diff(inspection.clusters[inspection.near_pairs], axis=1)[:, 0] != 0]
    for members in chain(_sets(inspection.clusters), cut):
        if len(set(inspection.copies[members].tolist())) > 1 and (splits := _different_splits(samples, members)):
            message = (
                f"Nearly the same picture is in {splits}: figures measured there are too good. Keep it in one split."
            )
            yield _finding("near_leak", message, samples, members)


def _group_leaks(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    if samples.groups is None or samples.splits is None:
        return
    for members in _sets(samples.groups, np.flatnonzero((samples.groups >= 0) & inspection.readable)):
        if splits := _different_splits(samples, members):
            message = f"One group is in {splits}: its images are no independent test. Keep a group in one split."
            yield _finding("group_leak", message, samples, members)


def _similar_classes(samples: Samples, _: Inspection) -> Iterator[Finding]:
    for names in similar_names(samples.class_names):
        message = f"{_listed([quoted(name) for name in names])} are classes of nearly one name."
        yield Finding("similar_classes", f"{message} If they are one class, give them one name.")


def _classes(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    if samples.classes is None and (DETECTION in samples.truth or SEGMENTATION in samples.truth):
        return  # counted by their boxes or pixels (boxes/findings.py, masks/findings.py)
    counts = samples.select(inspection.readable).class_counts()
    for name, listed, count in zip(samples.class_names, samples.class_counts(), counts, strict=True):
        if listed == 0:
            yield Finding("empty_class", f"The class {name} has no images. Add some, or leave the class out.")
        elif count < 2:
            left = "no readable image" if count == 0 else "one readable image"
            message = f"The class {name} has {left}; at least 2 are needed, one to learn from and one to measure on."
            yield Finding("too_few_images", f"{message} {_LEAVE_OUT}")
    if samples.splits is None:
        yield from _classes_of_copies(samples, inspection)
    present = np.flatnonzero(counts)
    if len(present) == 1 and len(counts) == 1 and samples.classes is not None:
        yield Finding("too_few_images", "There is one class only; a classifier needs at least two.")
    if len(present) > 1:
        large, small = present[counts[present].argmax()], present[counts[present].argmin()]
        ratio = counts[large] / counts[small]
        if ratio >= IMBALANCE:
            message = (
                f"The class {samples.class_names[large]} has {counted(counts[large], 'image')}, {samples.class_names[small]} "
                f"{counts[small]:,}: {ratio:.1f} times fewer. Consider --class-weights balanced or --balance-to."
            )
            yield Finding("imbalance", message)


def _classes_of_copies(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    """Classes of several images that no split can part."""
    if samples.classes is None:
        return
    readable = np.flatnonzero(inspection.readable & samples.classes.present)
    apart = np.unique(np.stack([inspection.clusters[readable], samples.labels[readable]]), axis=1)[1]
    counts = samples.select(readable).class_counts()
    for place in np.flatnonzero((np.bincount(apart, minlength=len(counts)) == 1) & (counts > 1)).tolist():
        message = (
            f"The class {samples.class_names[place]} has {counts[place]:,} images that are duplicates of one another: they can "
            "not be learned from and measured on."
        )
        yield Finding("too_few_images", f"{message} {_LEAVE_OUT}")


def _classes_of_splits(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    if samples.splits is None:
        return
    anywhere = samples.select(inspection.readable).class_counts() > 0
    for split in SPLITS:
        rows = samples.split_indices(split)
        if len(rows) == 0:
            continue
        counts = samples.select(rows[inspection.readable[rows]]).class_counts()
        missing = [samples.class_names[index] for index in np.flatnonzero((counts == 0) & anywhere)]
        if missing and split == "train":
            yield Finding(
                "class_not_in_train",
                f"{_first(missing)}: no image in train, so it can not be learned. Move images of it there, or leave them out.",
            )
        elif missing:
            text = f"{_first(missing)}: no image in {split}, so it is not measured there. Move some to it."
            yield Finding("class_not_in_split", text)


def _sizes(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    short = np.minimum(inspection.widths, inspection.heights)
    aspect = np.maximum(inspection.widths, inspection.heights) / np.maximum(short, 1)
    tiny = np.flatnonzero(inspection.readable & (short < TINY))
    if len(tiny):
        message = (
            f"A side shorter than {TINY} pixels in {counted(len(tiny), 'image')} (the shortest {short[tiny].min()}). Are they "
            "thumbnails? Take the originals."
        )
        yield _finding("tiny", message, samples, tiny[np.argsort(short[tiny], kind="stable")])
    odd = np.flatnonzero(inspection.readable & (aspect >= ODD_ASPECT))
    if len(odd):
        images = counted(len(odd), "image")
        message = f"{ODD_ASPECT:.0f} or more times as long as wide: {images}, of which a centre crop sees little."
        yield _finding("odd_sized", message, samples, odd[np.argsort(-aspect[odd], kind="stable")])
    blank = np.flatnonzero(inspection.blank)
    if len(blank):
        message = f"Blank or nearly so: {counted(len(blank), 'image')}, not compared with others. Is this what should be there?"
        yield _finding("blank", message, samples, blank)


def _sixteen_bits(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    """What is white in 16-bit pictures: one value for all of them, so that the same light is the same grey everywhere."""
    deep, white = np.flatnonzero(inspection.white_levels), inspection.white_level
    darker = deep[inspection.white_levels[deep] < white]
    if white < FULL_RANGE:
        message = (
            f"Of 16 bits a channel {white.bit_length()} are used by {counted(len(deep), 'image')}: in all of them {white:,} is "
            "taken for white. A training writes this into its bundle (white_level); --white-level says otherwise."
        )
        yield _finding("part_of_range", message, samples, deep)
    if 2 * len(darker) > len(
        deep
    ):  # a few are dark pictures, most of them another camera, or a bright spot in one picture
        least = int(inspection.white_levels[darker].min())
        message = (
            f"Of {counted(len(deep), 'image')} with 16 bits a channel {len(darker):,} use a part of the range "
            f"(down to {least:,}), others more, up to {white:,}, which is white for all: the former look dark. If they come "
            "from another camera, scale them to one range, or give --white-level."
        )
        yield _finding("mixed_ranges", message, samples, darker)


def _files(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    several = np.flatnonzero(inspection.pictures > 1)
    if len(several):
        most = int(inspection.pictures.max())
        where = counted(len(several), "file")
        message = f"Several pictures (an animation or pages, up to {most:,}) in {where}: the first one is taken."
        yield _finding("several_pictures", message, samples, several)
    if inspection.damage:
        names = list(dict.fromkeys(name for names in inspection.damage.values() for name in names))[:DAMAGED_NAMES]
        message = (
            f"Damage beside the pixels ({', '.join(names)}) in {counted(len(inspection.damage), 'file')}. The pixels are whole "
            "and are used; other programs may refuse such a file: save it anew."
        )
        yield _finding("damaged_metadata", message, samples, list(inspection.damage))


_LEAVE_OUT = "Add images, or leave such classes out: --min-per-class 2."


_FINDERS = (
    _unreadable,
    _wrong_suffixes,
    _copies,
    _near_duplicates,
    _near_leaks,
    _group_leaks,
    _similar_classes,
    _classes,
    _classes_of_splits,
    box_findings,
    mask_findings,
    _sizes,
    _sixteen_bits,
    _files,
)


def _finding(kind: str, message: str, samples: Samples, members: Sequence[int] | NDArray[np.int64]) -> Finding:
    return Finding(kind, message, tuple(samples.paths[int(index)] for index in members))


def _different_labels(samples: Samples, members: NDArray[np.int64]) -> str:
    """The labels of `members` in words, empty when they are all the same."""
    if samples.classes is None:
        return ""
    labels = [each for each in np.unique(samples.labels[members]).tolist() if each >= 0]
    return _listed([samples.class_names[each] for each in labels]) if len(labels) > 1 else ""


def _different_splits(samples: Samples, members: NDArray[np.int64]) -> str:
    """The splits of `members` in words, empty when they are all the same or none was given."""
    if samples.splits is None:
        return ""
    splits = np.unique(samples.splits[members]).tolist()
    return _listed([SPLITS[split] for split in splits]) if len(splits) > 1 else ""


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {counted(len(names) - 8, 'more class')}" if len(names) > 8 else "")


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _sets(keys: NDArray[np.integer[Any]], among: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.int64]]:
    """The indices (of `among`, or of all) that share a key, for every key with at least two, in order of the first."""
    among = np.arange(len(keys)) if among is None else among
    order = among[np.argsort(keys[among], kind="stable")]
    borders = np.concatenate([[0], np.flatnonzero(np.diff(keys[order])) + 1, [len(order)]])
    several = np.flatnonzero(np.diff(borders) > 1)
    members = [order[borders[place] : borders[place + 1]] for place in several]
    yield from sorted(members, key=lambda indices: int(indices[0]))
