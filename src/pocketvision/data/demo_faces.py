"""The embedded demo data: 118 faces, each drawn by four designs, and the questions asked of them (see faces/README.md)."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import unknown_name

# OpenMoji: its outlined style is the furthest from the others, and its share-alike licence stays clear of training.
UNSEEN_DESIGN = "openmoji"

DESIGNS = ("noto", "twemoji", "fluent", "openmoji")
CHEERFUL, TEASING = "cheerful", "teasing"
# Question → its table beside the pictures. The first is what the demo asks where nothing else is said.
QUESTIONS = {CHEERFUL: "cheerful.csv", TEASING: "faces.csv"}


@dataclass(frozen=True, eq=False)
class DemoPartition:
    """The demo's samples and who sees which. A group is a face, or faces that look alike, in all designs.

    samples: all n pictures, without splits.
    designs: (n) the design of each picture.
    train, val: indices into `samples`, ascending; faces of their own each, in the seen designs.
    unseen_faces: pictures of held-out faces in the seen designs.
    unseen_design: pictures of the training faces in the held-out design.
    both_unseen: pictures of the held-out faces in the held-out design.
    The validation faces in the held-out design are in none of them: they are neither seen nor untouched.
    """

    samples: Samples
    designs: tuple[str, ...]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    unseen_faces: NDArray[np.int64]
    unseen_design: NDArray[np.int64]
    both_unseen: NDArray[np.int64]

    def training_samples(self) -> Samples:
        """The training and validation pictures alone, with their splits set."""
        splits = np.zeros(len(self.train) + len(self.val), dtype=np.int8)
        splits[len(self.train) :] = 1
        return self.samples.select(np.concatenate([self.train, self.val])).with_splits(splits)


def faces_folder() -> Path:
    """The folder with teasing/, non_teasing/ and faces.csv: an image folder and an image table at once."""
    return Path(__file__).with_name("faces")


def faces_table(question: str = TEASING) -> Path:
    """The table of a question: path, label, group (what stays on one side of a split), design. UsageError for no question."""
    if question not in QUESTIONS:
        raise unknown_name("question", question, tuple(QUESTIONS))
    return faces_folder() / QUESTIONS[question]


def some_pictures(count: int = 64) -> list[Path]:
    """Real pictures at hand wherever a network must be run on some: `count` of the faces, evenly taken."""
    samples = read_samples(faces_table())
    chosen = np.linspace(0, len(samples) - 1, count).astype(int).tolist()
    return [samples.file(index) for index in chosen]


def demo_partition(
    question: str, seed: int, *, unseen_design: str = UNSEEN_DESIGN, test_share: float = 0.2, val_share: float = 0.2
) -> DemoPartition:
    """Hold out one design and a share of the faces, class by class; the same seed gives the same partition.

    test_share: of the faces, at least: groups are taken in random order until it is reached, so that large ones have their
    turn too. val_share: of the faces that are left then.
    Raises UsageError for a question or a design that is not among the data's.
    """
    table = faces_table(question)
    samples = read_samples(table)
    designs = _designs(samples, table)
    if unseen_design not in designs:
        raise unknown_name("design", unseen_design, sorted(set(designs)))
    held_out = np.array([design == unseen_design for design in designs])
    part = _draw_parts(samples, seed, test_share, val_share)
    return DemoPartition(
        samples=samples,
        designs=designs,
        train=np.flatnonzero((part == 0) & ~held_out),
        val=np.flatnonzero((part == 1) & ~held_out),
        unseen_faces=np.flatnonzero((part == 2) & ~held_out),
        unseen_design=np.flatnonzero((part == 0) & held_out),
        both_unseen=np.flatnonzero((part == 2) & held_out),
    )


def _designs(samples: Samples, table: Path) -> tuple[str, ...]:
    """(n) the table's design column, in the samples' order."""
    with table.open(encoding="utf-8", newline="") as stream:
        design_of = {row["path"]: row["design"] for row in csv.DictReader(stream)}
    return tuple(design_of[path] for path in samples.paths)


def _draw_parts(samples: Samples, seed: int, test_share: float, val_share: float) -> NDArray[np.int8]:
    """(n) index into SPLITS, the same for all pictures of a group."""
    assert samples.groups is not None  # the table has the column
    random = np.random.default_rng(seed)
    part = np.zeros(len(samples), dtype=np.int8)
    for each in range(len(samples.class_names)):
        groups, sizes = np.unique(samples.groups[samples.labels == each], return_counts=True)
        order = random.permutation(len(groups))
        taken = np.cumsum(sizes[order])
        test = _reached(taken, taken[-1] * test_share)
        val = _reached(taken[test:] - taken[test - 1], (taken[-1] - taken[test - 1]) * val_share)
        part[np.isin(samples.groups, groups[order[:test]])] = 2
        part[np.isin(samples.groups, groups[order[test : test + val]])] = 1
    return part


def _reached(taken: NDArray[np.int64], wanted: float) -> int:
    """How many groups it takes to come to `wanted` pictures, to the nearest face in four designs."""
    pictures = len(DESIGNS) * round(wanted / len(DESIGNS))
    return int(np.searchsorted(taken, pictures)) + 1
