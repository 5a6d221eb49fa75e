"""Pictures as points: what a network makes of each just before it answers, and which training pictures lie nearest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from pocketvision.data.samples import Samples
from pocketvision.errors import ImageError, UsageError
from pocketvision.explain.subject import BATCH, Subject
from pocketvision.utf8_path import utf8_path

KEPT = "embeddings.safetensors"
"""What a run keeps of its training pictures: `embeddings` (n, d) and `rows` (n), which rows of its split.csv they are."""
MOST = 2000
"""Training pictures that are looked at where a run kept none."""

Vectors = NDArray[np.float32]
"""(n, d), each of length 1."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """n pictures: their files, the names of their classes (empty where they have none), and vectors (n, d)."""

    files: tuple[Path, ...]
    names: tuple[str, ...]
    vectors: Vectors


@dataclass(frozen=True)
class Neighbour:
    """A training picture. similarity: cosine of the angle between the two, 1 for the same."""

    file: Path
    name: str
    similarity: float


def vectors_of(subject: Subject, images: NDArray[np.float32]) -> Vectors:
    """(N, d) of preprocessed images (N, 3, H, W): the means of the channels of its deepest map. Raises UsageError where it has
    none, BundleError for a bundle without model.onnx."""
    layer = subject.deepest_map(images)
    found = subject.inner.run(images, (layer,))[layer].mean(axis=(2, 3))
    return _unit(np.asarray(found, np.float32).reshape(len(images), -1))


def _unit(vectors: NDArray[np.float32]) -> Vectors:
    """Each of length 1; of a vector of zeros, or with what is no number, zeros."""
    known = np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, 0)
    lengths = np.linalg.norm(known, axis=1, keepdims=True)
    scaled: Vectors = (known / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled


def embedded(
    subject: Subject,
    files: Sequence[Path],
    names: Sequence[str],
    on_done: Callable[[int, int], None] = lambda _done, _total: None,
) -> Embedded:
    """The pictures that can be read. Raises UsageError where none can."""
    kept: list[int] = []
    parts: list[Vectors] = []
    place = subject.bundle.preprocessing.place
    for start in range(0, len(files), BATCH):
        images = []
        for index in range(start, min(start + BATCH, len(files))):
            try:
                images.append(place(files[index])[0])
                kept.append(index)
            except ImageError:
                continue
        if images:
            parts.append(vectors_of(subject, np.stack(images)))
        on_done(min(start + BATCH, len(files)), len(files))
    if not kept:
        raise UsageError(f"Of {len(files)} pictures none can be read, so there is nothing to compare with.")
    return Embedded(tuple(files[index] for index in kept), tuple(names[index] for index in kept), np.concatenate(parts))


def kept_embeddings(run: Path, samples: Samples, length: int) -> Embedded | None:
    """What a run kept of its training pictures. samples: of its split.csv. None where it kept nothing, or vectors of another
    length than the bundle's are now."""
    path = run / KEPT
    if not path.is_file():
        return None
    try:
        with utf8_path(path) as opened:
            tensors = safetensors.numpy.load_file(opened)
        vectors, rows = tensors["embeddings"].astype(np.float32), tensors["rows"].astype(np.int64)
    except (OSError, SafetensorError, KeyError):
        return None
    inside = (rows >= 0) & (rows < len(samples))
    if vectors.ndim != 2 or vectors.shape[1] != length or len(rows) != len(vectors) or not inside.all():
        return None
    chosen = [int(row) for row in rows]
    return Embedded(
        tuple(samples.file(row) for row in chosen), tuple(samples.class_name(row) for row in chosen), _unit(vectors)
    )


def nearest(queries: Vectors, among: Embedded, most: int) -> list[list[Neighbour]]:
    """For each of (n, d) at most so many, the most alike first."""
    similar = queries @ among.vectors.T
    order = np.argsort(-similar, axis=1, kind="stable")[:, :most]
    return [
        [Neighbour(among.files[place], among.names[place], float(similar[row, place])) for place in places]
        for row, places in enumerate(order.tolist())
    ]


def principal_components(vectors: Vectors) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(n, 2) along the two directions in which the vectors vary most, and the share of the variance that each has. Signs are
    chosen so that the largest loading is positive."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    first = np.zeros((2, vectors.shape[1]))
    first[: min(2, len(directions))] = directions[:2]
    largest = np.abs(first).argmax(axis=1)
    first *= np.where(first[np.arange(2), largest] < 0, -1, 1)[:, None]
    total = float((sizes**2).sum())
    shares = np.zeros(2)
    shares[: min(2, len(sizes))] = sizes[:2] ** 2 / total if total > 0 else 0
    return (centred @ first.T).astype(np.float32), shares
