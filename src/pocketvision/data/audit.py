"""The audit of labelled images, taken before any training: what is broken, doubled, leaked, mislabelled or lopsided."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.finding import SEVERITIES, Finding
from pocketvision.data.findings import list_findings
from pocketvision.data.flattering import Flattery
from pocketvision.data.inspection import Inspection, inspect_images
from pocketvision.data.left_out import ignored_files
from pocketvision.data.near_duplicates import Pairs
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.preprocessing import MAX_PIXELS

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found in n images. `findings` has the worst first; `inspection` the facts behind them, image by image.

    flattery: what likely groups do to the validation; None where it was not asked, or can not be told.
    label_problems: what was said of the labels, in sentences; none where it was not asked.
    """

    samples: Samples
    inspection: Inspection
    findings: tuple[Finding, ...]
    flattery: Flattery | None = None
    label_problems: tuple[str, ...] = ()

    @property
    def hurts(self) -> bool:
        """Whether something would spoil a model or its figures."""
        return any(finding.severity == "error" for finding in self.findings)

    @property
    def readable(self) -> NDArray[np.bool_]:
        """(n) whether each image can be decoded."""
        return self.inspection.readable

    @property
    def unreadable(self) -> Mapping[int, str]:
        """Index -> reason of every image that can not be decoded, ascending."""
        return self.inspection.unreadable

    @property
    def content_hashes(self) -> NDArray[np.void]:
        """(n) 16 bytes each; equal where the decoded pixels are."""
        return self.inspection.content_hashes

    @cached_property
    def pairs(self) -> Pairs:
        """(k, 2) exact and near-duplicates that a split must not part: every image with the middle of its cluster."""
        clusters = self.inspection.clusters
        joined = np.flatnonzero(clusters != np.arange(len(clusters)))
        return np.stack([clusters[joined], joined], axis=1)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each kind was found, the worst kinds first; kinds without any are absent."""
        found: Counter[str] = Counter()
        for finding in self.findings:
            found[finding.kind] += finding.count
        return dict(found)

    @property
    def lines(self) -> list[str]:
        """What was found, a line a kind, the worst first, with counts and an example; broken files are reported apart."""
        lines = []
        for kind, count in self.counts.items():
            if kind in ("unreadable", "truncated"):
                continue
            first = next(finding for finding in self.findings if finding.kind == kind)
            example = f" ({', '.join(first.files[:2])})" if first.files else ""
            lines.append(f"{first.severity}, {kind.replace('_', ' ')} x {count}: {first.message}{example}")
        return lines

    def worst_files(self, limit: int = 10) -> list[tuple[str, tuple[str, ...]]]:
        """Files with the kinds of what was found of them: those that can not be read first, then those with the most errors,
        warnings and notes."""
        kinds: dict[str, dict[str, Finding]] = {}
        for finding in self.findings:
            for file in finding.files:
                kinds.setdefault(file, {})[finding.kind] = finding

        def badness(entry: tuple[str, dict[str, Finding]]) -> tuple[int, ...]:
            severities = [finding.severity for finding in entry[1].values()]
            broken = "unreadable" in entry[1] or "truncated" in entry[1]
            return not broken, *(-severities.count(severity) for severity in SEVERITIES)

        return [(file, tuple(found)) for file, found in sorted(kinds.items(), key=badness)[:limit]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON. Fields are added, never renamed, while `schema_version` stays the same."""
        samples, readable = self.samples, self.readable
        counts = samples.select(readable).class_counts().tolist()
        splits = None
        if samples.splits is not None:
            splits = {split: int(readable[samples.split_indices(split)].sum()) for split in SPLITS}
        return {
            "schema_version": SCHEMA_VERSION,
            "root": str(samples.root),
            "images": len(samples),
            "readable": int(readable.sum()),
            "ignored_files": ignored_files(samples.left_out),
            "left_out": [each.to_dict() for each in samples.left_out],
            "reading": list(samples.reading),
            "classes": dict(zip(samples.class_names, counts, strict=True)),
            "splits": splits,
            "hurts": self.hurts,
            "counts": self.counts,
            "findings": [finding.to_dict() for finding in self.findings],
            "likely_groups": None if self.flattery is None else self.flattery.to_dict(),
        }


def audit(
    samples: Samples,
    *,
    max_pixels: int = MAX_PIXELS,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Decode every image once, compare them all, and say what was found. Broken files are findings, never exceptions.

    max_pixels: images with more are findings too. workers: decoding threads, 0 for none.
    on_progress: called with the images done and their total, after every image.
    """
    inspection = inspect_images(samples, max_pixels=max_pixels, workers=workers, on_progress=on_progress)
    return Audit(samples, inspection, list_findings(samples, inspection))
