"""What a bundle learned from, as far as the run that it lies in tells: as vectors, and beside a report's mistakes."""

from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from pocketvision.atomic_files import write_bytes
from pocketvision.bundle import Bundle
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import MissingExtraError, PocketVisionError, UsageError
from pocketvision.evaluation.report.looked import Looking, NotLooking
from pocketvision.explain.embeddings import KEPT, MOST, Embedded, embedded, kept_embeddings, vectors_of
from pocketvision.explain.methods import AUTO, method_named
from pocketvision.explain.mistake_pictures import MistakePictures
from pocketvision.explain.subject import Subject

SPLIT = "split.csv"
LEAST_ALIKE = 0.9995
"""Cosine of the angle between what the training kept of a picture and what the bundle's graph makes of it."""

LEAST_OF_UMAP = 10
"""Pictures: of fewer there are no neighbourhoods, and below five it fails."""


def looking_of(bundle: Bundle, root: Path) -> Looking:
    """Maps where they cost little, and neighbours where the bundle's run kept what it learned from. root: where the images' paths
    start. Nothing where the bundle can not be looked into: that is no reason to have no report."""
    try:
        subject = Subject.of(bundle)
        method = method_named(AUTO, subject)
        return MistakePictures(subject, root, None if method == "occlusion" else method, kept_of_run(subject))
    except PocketVisionError:
        return NotLooking()


def kept_of_run(subject: Subject) -> Embedded | None:
    """The vectors of the training pictures that the bundle's run kept; None where it lies in none, or the run kept none."""
    run = subject.bundle.folder.resolve().parent
    if not (run / SPLIT).is_file():
        return None
    size = subject.bundle.preprocessing
    try:
        samples = read_samples(run / SPLIT, task=subject.bundle.only_kind, labels=subject.bundle.asked_labels)
        length = vectors_of(subject, np.zeros((1, 3, size.height, size.width), np.float32)).shape[1]
    except PocketVisionError:
        return None
    return kept_embeddings(run, samples, length)


def is_as_shipped(bundle: Bundle, vector: NDArray[np.float32], picture: Path) -> bool:
    """Whether the bundle's graph makes of a picture what a training kept of it: vector (d), the means of the deepest map's
    channels. False for a graph without maps."""
    try:
        (shipped,) = vectors_of(Subject.of(bundle), bundle.preprocessing.place(picture)[0][None])
    except UsageError:
        return False
    return vector.shape == shipped.shape and float(vector @ shipped) >= LEAST_ALIKE * float(np.linalg.norm(vector))


def write_embeddings(run: Path, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
    """What a run keeps of its training pictures (embeddings.KEPT). vectors: (n, d). rows: (n), of split.csv."""
    write_bytes(run / KEPT, safetensors.numpy.save({"embeddings": vectors.astype(np.float16), "rows": rows}))


def training_pictures(subject: Subject, data: str | Path | None, limit: int = MOST) -> Embedded:
    """What a bundle learned from, as vectors: what its run kept, else at most `limit` of the pictures, evenly chosen. Raises
    UsageError where neither is known."""
    bundle = subject.bundle
    kept_split = bundle.folder.resolve().parent / SPLIT
    if data is None and not kept_split.is_file():
        raise UsageError(
            f"{bundle.folder} lies in no run, and its features of what it learned from were not kept. Say which pictures "
            "those were: --data."
        )
    if data is None and (kept := kept_of_run(subject)) is not None:
        return _some(kept, limit)
    samples = read_samples(kept_split if data is None else data, task=bundle.only_kind, labels=bundle.asked_labels)
    rows = _training_rows(samples)
    rows = [rows[place] for place in _spread(len(rows), limit)]
    return embedded(subject, [samples.file(row) for row in rows], [samples.class_name(row) for row in rows])


def _training_rows(samples: Samples) -> list[int]:
    rows: list[int] = [] if samples.splits is None else samples.split_indices("train").tolist()
    return rows or list(range(len(samples)))


def _some(kept: Embedded, limit: int) -> Embedded:
    rows = _spread(len(kept.files), limit)
    return Embedded(tuple(kept.files[row] for row in rows), tuple(kept.names[row] for row in rows), kept.vectors[rows])


def umap_places(points: Embedded) -> NDArray[np.float32]:
    """(n, 2) by UMAP (McInnes et al., 2018). Raises MissingExtraError, UsageError for fewer than LEAST_OF_UMAP pictures."""
    try:
        import umap
    except ImportError:
        raise MissingExtraError("UMAP", "umap") from None
    count = len(points.files)
    if count < LEAST_OF_UMAP:
        raise UsageError(f"UMAP takes {LEAST_OF_UMAP} pictures or more; here are {count}. Take the layout pca.")
    neighbours = min(15, count - 1)
    layout = umap.UMAP(n_neighbors=neighbours, random_state=0, n_jobs=1)  # a fixed order of steps takes one thread
    return np.asarray(layout.fit_transform(points.vectors), np.float32)


def _spread(total: int, count: int) -> list[int]:
    """At most `count` of the indices below `total`, evenly spread."""
    chosen: list[int] = np.unique(np.linspace(0, total - 1, min(total, count)).astype(int)).tolist()
    return chosen
