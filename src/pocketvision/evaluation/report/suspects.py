"""Suspects: pictures of which an audit says that a label is wrong, or that a split leaks, to be looked at side by side."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pocketvision.data.audit import Audit
from pocketvision.data.samples import SPLITS, Samples

# What is worth to be looked at as pictures; the worst first.
KINDS = ("conflicting_labels", "near_conflicting_labels", "leak", "near_leak")
GROUPS_KEPT = 12
PICTURES_KEPT = 4


@dataclass(frozen=True)
class SuspectPicture:
    """One picture of a group. path: as the samples name it. split: None where the data came without splits."""

    path: str
    label: str
    split: str | None


@dataclass(frozen=True)
class SuspectGroup:
    """Pictures that are the same, or nearly. kinds: as in data/findings.py. count: of all; `pictures` are the first few."""

    kinds: tuple[str, ...]
    count: int
    pictures: tuple[SuspectPicture, ...]


@dataclass(frozen=True)
class Suspects:
    """The worst groups of `count`. root: the folder that paths start from."""

    root: Path
    count: int
    groups: tuple[SuspectGroup, ...]


def suspects_of(audit: Audit) -> Suspects:
    """The suspects among an audit's findings; a group with two findings is one group."""
    kinds_of: dict[tuple[str, ...], list[str]] = {}
    for kind in KINDS:
        for finding in audit.findings:
            if finding.kind == kind:
                kinds_of.setdefault(finding.files, []).append(kind)
    kept = list(kinds_of.items())[:GROUPS_KEPT]
    place_of = {path: place for place, path in enumerate(audit.samples.paths)} if kept else {}
    groups = [
        SuspectGroup(tuple(kinds), len(files), _pictures(audit.samples, [place_of[path] for path in files]))
        for files, kinds in kept
    ]
    return Suspects(audit.samples.root, len(kinds_of), tuple(groups))


def _pictures(samples: Samples, places: Iterable[int]) -> tuple[SuspectPicture, ...]:
    """One picture of each label and split, because it is they that differ, before more of the same."""
    first: dict[tuple[str, str | None], SuspectPicture] = {}
    further: list[SuspectPicture] = []
    for place in places:
        split = None if samples.splits is None else SPLITS[int(samples.splits[place])]
        picture = SuspectPicture(samples.paths[place], samples.class_name(place), split)
        if first.setdefault((picture.label, split), picture) is not picture:
            further.append(picture)
    return (*first.values(), *further)[:PICTURES_KEPT]
