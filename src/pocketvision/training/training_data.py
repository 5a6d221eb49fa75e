"""The data of a training run: read, audited, split, balanced, and refused when nothing can be learned from it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.audit import Audit, audit
from pocketvision.data.balance import ClassWeights, balance_plan, class_weights
from pocketvision.data.flattering import twins_in_training
from pocketvision.data.learned_from import GROUPED, NEAR, SAME, UNSEEN, LearnedFrom, Matches, learned_from
from pocketvision.data.likely_groups import LikelyGroups
from pocketvision.data.near_duplicates import Pairs
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.data.small_classes import large_enough, only_classes
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.splits import make_split, unite
from pocketvision.errors import UsageError
from pocketvision.preprocessing import FULL_RANGE
from pocketvision.printable import counted
from pocketvision.progress import Counted, OnEvent
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.truth import Truth
from pocketvision.training.batch_order import repeated
from pocketvision.training.data_settings import DataSettings
from pocketvision.training.grouping import AUTO, group_column, grouped_as, kept_together, search_groups
from pocketvision.training.learned_tasks import learned_of, objective_of
from pocketvision.training.learner import LearnerOptions
from pocketvision.training.objective import Objective
from pocketvision.training.one_sided import one_sided_tags
from pocketvision.training.phases import Entries
from pocketvision.training.recipe import Recipe
from pocketvision.training.recorded_split import RecordedSplit
from pocketvision.training.run_log import RunLog
from pocketvision.training.settings import require_mixable
from pocketvision.training.split_note import split_note
from pocketvision.training.unlabelled import apart_from_held_out, learnable, with_unlabelled

# Skipped files named one by one; the rest are counted (audit.json has them all).
NAMED_FILES = 20
NAMED_CLASSES = 8


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Readable samples with their splits, the audit that they come from, and the value of 16-bit pictures that becomes white.
    rows: (n) each sample's place in the audit. task: the only one that is to be learned; None for all. likely: (n) numbers
    of the likely groups that were found, -1 for none; None where nobody looked. answered: tasks that are learned already."""

    samples: Samples
    rows: NDArray[np.int64]
    audit: Audit
    white_level: int = FULL_RANGE
    task: str | None = None
    likely: NDArray[np.int64] | None = None
    answered: tuple[str, ...] = ()

    @cached_property
    def learned(self) -> dict[str, Truth]:
        """The truth that is learned, by task."""
        return learned_of(self.samples.truth, self.task, self.answered)

    @cached_property
    def content_hashes(self) -> NDArray[np.void]:
        """(n) of 16 bytes each."""
        return self.audit.content_hashes[self.rows]

    def indices(self, split: str) -> NDArray[np.int64]:
        """The samples of a split."""
        return self.samples.split_indices(split)

    def fingerprint(self) -> str:
        """Names the data: every image's content, truth and split, in no order."""
        samples, hashes = self.samples, self.content_hashes
        rows = sorted(
            hashes[index].tobytes() + b"|%b|%d" % (samples.said(index), split)
            for index, split in enumerate(self._splits())
        )
        return hashlib.blake2b(b"".join(rows), digest_size=16).hexdigest()

    def fingerprint_of(self, split: str) -> str:
        """Names the images of a split: their content and truth, in no order."""
        indices, hashes = self.indices(split).tolist(), self.content_hashes
        rows = sorted(hashes[index].tobytes() + b"|" + self.samples.said(index) for index in indices)
        return hashlib.blake2b(b"".join(rows), digest_size=16).hexdigest()

    @property
    def near_twins(self) -> frozenset[str] | None:
        """The paths of validation images with a picture of the same likely group in training; None where nobody looked."""
        if self.likely is None:
            return None
        asked = self.indices("val")
        twin = twins_in_training(self.likely, self.indices("train"), asked)
        return frozenset(self.samples.paths[index] for index in asked[twin].tolist())

    @property
    def kept_together(self) -> int:
        """How many likely groups there are, where the splits part none of them; else 0."""
        if self.likely is None or self.samples.splits is None:
            return 0
        grouped = self.likely >= 0
        parts = np.unique(np.stack([self.likely[grouped], self.samples.splits[grouped]]), axis=1)
        count = len(np.unique(self.likely[grouped]))
        return count if parts.shape[1] == count else 0

    def matches(self, split: str) -> Matches:
        """Which images of a split are, nearly are, or are of a group with, images of the splits before it. Splits that were drawn
        here part nothing of that kind; given ones may."""
        inspection, groups = self.audit.inspection, self.samples.groups
        splits, asked = np.array(self._splits(), np.int8), self.indices(split)
        contents, clusters = inspection.copies[self.rows], inspection.clusters[self.rows]
        kinds, seen_in = np.zeros(len(asked), np.int8), np.full(len(asked), -1, np.int8)
        for earlier in range(SPLITS.index(split)):
            learned = splits == earlier
            near = np.isin(clusters[asked], clusters[learned])
            near |= np.isin(contents[asked], _neighbours(inspection.near_pairs, contents[learned]))
            grouped = np.zeros(len(asked), np.bool_)
            if groups is not None:
                grouped = (groups[asked] >= 0) & np.isin(groups[asked], groups[learned])
            for kind, found in ((SAME, np.isin(contents[asked], contents[learned])), (NEAR, near), (GROUPED, grouped)):
                new = found & (kinds == UNSEEN)
                kinds[new], seen_in[new] = kind, earlier
        return Matches(kinds, seen_in)

    @cached_property
    def learned_from(self) -> LearnedFrom:
        """What the bundle keeps of these images."""
        alike = unite(len(self.audit.samples), self.audit.pairs, self.audit.samples.groups)[self.rows]
        numbers = self.audit.inspection.frequencies[self.rows].astype(np.float32)
        splits = np.array(self._splits(), np.int8)
        return learned_from(self.content_hashes, numbers, splits, alike, tests=self.matches("test"))

    def _splits(self) -> Sequence[int]:
        splits = self.samples.splits
        return [] if splits is None else splits.tolist()

    def entries(
        self, split: str, balance_to: int | None = None, seed: int = 0, *, shares: str | None = None
    ) -> Entries:
        """What an epoch runs over; with `balance_to`, further copies of the samples of small classes; with `shares`
        (batch_order.py), of those of rare tasks."""
        indices = self.indices(split)
        replicas = np.zeros(len(indices), np.int64)
        if balance_to is None and shares is not None and len(self.learned) > 1:
            rows, copies = repeated([truth.present[indices] for truth in self.learned.values()], shares, seed)
            return Entries(indices[rows], copies)
        if balance_to is not None:
            if self.samples.classes is None:
                raise UsageError("--balance-to copies images of small classes, and these are in none. Leave it out.")
            labels = self.samples.labels[indices]
            labelled = np.flatnonzero(labels >= 0)
            plan = balance_plan(labels[labelled], self.samples.class_names, balance_to, seed=seed)
            indices = np.concatenate([indices, indices[labelled[plan.indices]]])
            replicas = np.concatenate([replicas, plan.numbers.astype(np.int64)])
        return Entries(indices, replicas)

    def objective(self, recipe: Recipe) -> Objective:
        """What a training on these images minimises. Raises UsageError as objective_of does, and for a single image that would be
        mixed with others."""
        require_mixable(recipe.regularisation, min(recipe.batch or 1, len(self.indices("train"))))
        own = recipe.loss
        options = LearnerOptions(
            recipe.regularisation.label_smoothing, own.class_weights, own.name or "", own.regions, own.border
        )
        return objective_of(self.learned, self.indices("train"), options, recipe.loss.weights)

    def loss_weights(self, option: ClassWeights) -> NDArray[np.float32] | None:
        """(classes,) weights of the loss, or None for none. "balanced" counts the training split."""
        if option == "none":
            return None
        counts = self.samples.select(self.indices("train")).class_counts()
        return class_weights(counts, self.samples.class_names, option)


def prepare_data(
    data: Path,
    recipe: Recipe,
    *,
    format: str | None = None,
    task: str | None = None,
    labels: Sequence[str] | None,
    columns: Mapping[str, Any],
    images: str | None,
    recorded: RecordedSplit | None,
    log: RunLog,
    on_event: OnEvent,
    answered: tuple[str, ...] = (),
) -> TrainingData:
    """Read and audit `data`, leave out what can not be read (a line each), and split what has no splits.

    answered: see TrainingData. recorded: the split of a run that goes on, whose images these must be, wherever they lie.
    """
    wanted = recipe.data.group
    columns = {**columns, **group_column(wanted), "ignore": recipe.data.ignore}
    samples = read_samples(
        data, format=format, task=task, labels=labels, images=images, min_per_class=recipe.data.min_per_class, **columns
    )
    samples, given = grouped_as(samples, wanted, log), len(samples)
    samples = with_unlabelled(samples, recipe.distillation)
    found = audit(
        samples,
        max_pixels=recipe.data.max_pixels,
        workers=recipe.data.workers,
        on_progress=lambda done, total: on_event(Counted("audit", done, total)),
    )
    for line in samples.account:
        log.note(line)
    _report_unreadable(samples, found, log)
    for line in found.lines:
        log.note(line)
    readable = np.flatnonzero(found.readable & learnable(samples, given, task, answered, log))
    kept = samples.select(readable)
    clusters = unite(len(samples), found.pairs, samples.groups)[readable]
    chosen = large_enough(kept, recipe.data.min_per_class, clusters)
    if not chosen.all():
        stays = np.append(chosen, True)[kept.labels]
        kept = only_classes(replace(kept, left_out=(), reading=()), chosen, recipe.data.min_per_class)
        readable, clusters = readable[stays], clusters[stays]
        for line in kept.account:
            log.note(line)
    _require_two_classes(kept, data)
    if recorded is not None:
        order, rows = recorded.in_order(kept, found.content_hashes[readable], log.note)
        kept, readable = kept.select(order).with_splits(np.array(recorded.splits, np.int8)[rows]), readable[order]
        likely = None if recorded.likely is None else recorded.likely[rows]
    else:
        kept, likely = _drawn(kept, clusters, recipe, log)
        kept, stays = apart_from_held_out(kept, clusters, log)
        kept, readable, likely = kept.select(stays), readable[stays], None if likely is None else likely[stays]
    learned = learned_of(kept.truth, task, answered)
    _require_training_images(kept, learned, data)
    for line in one_sided_tags(kept, learned):
        log.note(line)
    return TrainingData(kept, readable, found, _white_level(found, recipe, log), task, likely, answered)


def _likely(samples: Samples, recipe: Recipe, log: RunLog) -> LikelyGroups | None:
    """None of a random start: its network has seen no pictures yet, and no other is asked for."""
    if recipe.model.from_scratch:
        return None
    return search_groups(samples, workers=recipe.data.workers, max_pixels=recipe.data.max_pixels, log=log)


def _drawn(
    samples: Samples, clusters: NDArray[np.int64], recipe: Recipe, log: RunLog
) -> tuple[Samples, NDArray[np.int64] | None]:
    """The samples with the splits that they lack, and the likely groups, by which those were drawn. Given ones stay."""
    likely = _likely(samples, recipe, log)
    if likely is not None and likely.why and recipe.data.group == AUTO:
        clusters = kept_together(clusters, likely, samples, recipe.data, recipe.seed, log)
    if samples.splits is None:
        drawn = _split(samples, clusters, recipe)
        if note := split_note(drawn, clusters):
            log.note(note)
    else:
        _report_unused_shares(samples, recipe, log)
        drawn = _with_validation(samples, clusters, recipe)
    return drawn, None if likely is None else likely.of


def _split(samples: Samples, clusters: NDArray[np.int64], recipe: Recipe) -> Samples:
    drawn = make_split(
        samples.strata,
        clusters=clusters,
        val_share=recipe.data.val_share,
        test_share=recipe.data.test_share,
        seed=recipe.seed,
        class_names=samples.class_names,
    )
    return samples.with_splits(drawn)


def _white_level(found: Audit, recipe: Recipe, log: RunLog) -> int:
    """A note of what becomes white, where there are 16-bit pictures."""
    level = recipe.data.white_level or found.inspection.white_level
    deep = int(np.count_nonzero(found.inspection.white_levels))
    if deep:
        log.note(
            f"16 bits a channel in {counted(deep, 'image')}: {level} is white there, here and in the bundle"
            + (
                "."
                if recipe.data.white_level
                else ", as the largest value in all of them tells (--white-level says otherwise)."
            )
        )
    return level


def _neighbours(pairs: Pairs, contents: NDArray[np.int64]) -> NDArray[np.int64]:
    """The images that one of `contents` is confirmed to be nearly the same as."""
    one, other = pairs.T
    return np.concatenate([other[np.isin(one, contents)], one[np.isin(other, contents)]])


def _with_validation(samples: Samples, clusters: NDArray[np.int64], recipe: Recipe) -> Samples:
    """Given splits are kept; when they hold no validation images, some of the training images become it."""
    if len(samples.split_indices("val")):
        return samples
    train = samples.split_indices("train")
    if len(train) == 0:
        return samples
    drawn = make_split(
        samples.select(train).strata,
        clusters=clusters[train],
        val_share=recipe.data.val_share,
        test_share=0.0,
        seed=recipe.seed,
        class_names=samples.class_names,
    )
    splits = np.array(samples.splits, np.int8)
    splits[train] = drawn
    return samples.with_splits(splits)


def _report_unused_shares(samples: Samples, recipe: Recipe, log: RunLog) -> None:
    """The shares that were asked for and do not apply to data that has splits."""
    if recipe.data.test_share:
        found = len(samples.split_indices("test"))
        hint = (
            ""
            if found
            else " To keep images for a test, give them that split (a test folder, or test in the split column)."
        )
        own = "a test split" if found else "splits"
        log.note(f"--test-share {recipe.data.test_share} is not used: the data has {own} of its own.{hint}")
    if recipe.data.val_share != DataSettings.val_share and len(samples.split_indices("val")):
        log.note(f"--val-share {recipe.data.val_share} is not used: the data has a validation split of its own.")


def _report_unreadable(samples: Samples, found: Audit, log: RunLog) -> None:
    unreadable = sorted(found.unreadable.items())
    for index, reason in unreadable[:NAMED_FILES]:
        log.note(f"Skipped {samples.paths[index]}: {reason}")
    if len(unreadable) > NAMED_FILES:
        log.note(f"Skipped {counted(len(unreadable) - NAMED_FILES, 'more file')}; audit.json has all names.")
    if unreadable:
        log.note(f"{len(unreadable)} of {counted(len(samples), 'file')} can not be read; left out.")


def _require_two_classes(samples: Samples, data: Path) -> None:
    if len(samples) == 0:
        raise UsageError(
            f"{data}: none of its images can be read, so there is nothing to train on. See `pocketvision check {data}`."
        )
    for truth in samples.truth.values():
        if isinstance(truth, ClassLabels):
            _require_two(truth, data)


def _require_two(truth: ClassLabels, data: Path) -> None:
    """Classes, and images of each."""
    counts = truth.class_counts()
    present = [name for name, count in zip(truth.class_names, counts, strict=True) if count]
    if len(present) < 2:
        raise UsageError(
            f"{data} has images of one class only ({present[0]}). A classifier needs at least two: "
            "a folder, or a label, for each."
        )
    few = [f"{name} ({count})" for name, count in zip(truth.class_names, counts, strict=True) if count < 2]
    if few:
        some = ", ".join(few[:NAMED_CLASSES]) + (f" and {len(few) - NAMED_CLASSES} more" if few[NAMED_CLASSES:] else "")
        raise UsageError(
            f"{data}: fewer than 2 readable images are left of {len(few)} of {len(counts)} classes: {some}. Each class needs one "
            "to learn from and one to be measured on. Add images, or leave these classes out: --min-per-class 2."
        )


def _require_training_images(samples: Samples, learned: Mapping[str, Truth], data: Path) -> None:
    for split in SPLITS[:2]:
        rows = samples.split_indices(split)
        if len(rows) == 0:
            raise UsageError(f"{data}: its splits have no {split} images at all.")
        parts = [truth.select(rows) for truth in learned.values()]
        found = [pair for part in parts for pair in zip(part.class_names, part.class_counts().tolist(), strict=True)]
        missing = [name for name, count in found if count == 0]
        if missing and split == "train":
            raise UsageError(
                f"{data}: its training split has no images of {', '.join(missing)}. Every class must be learned from. "
                "Move images of it to train, or take it out of the data."
            )
        without = [task for task, truth in learned.items() if not truth.present[rows].any()]
        if without:
            raise UsageError(
                f"{data}: its {split} split has no images with the truth of {', '.join(without)}. Each task needs some to learn "
                "from and some to be measured on."
            )
