"""How unlike all that a bundle learned from a picture is, told by the features that its last layer reads. Without torch.

Two distances are added, each in units of how ordinary pictures, which were not learned from, differ in it. The relative
Mahalanobis distance (Ren et al., 2021, https://arxiv.org/abs/2106.09022): how far a picture's features are from the nearest
class's mean, less how far they are from the mean of all. With one covariance for all classes both differ only in the directions
that tell classes apart, so that one matrix (features, classes - 1) is all that is kept. It sees classes that were never
learned. And the share of a picture's features that the axes of largest variance do not reach, the residual of ViM (Wang et al.,
2022, https://arxiv.org/abs/2203.10807): it sees pictures of another kind, also where two classes leave one direction. Novelty
is the share of ordinary pictures whose sum is less (evaluation/novelty_fit.py).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, UsageError
from pocketvision.runtime.batches import Outputs, Shapes
from pocketvision.runtime.onnx_part import nodes_of
from pocketvision.tasks.manifest import NOVEL_FROM, NOVELTY
from pocketvision.utf8_path import utf8_path

FILE = "novelty.safetensors"
"""In a bundle: the arrays of Novelty, and what they belong to as metadata."""

_ROUNDED = ("QuantizeLinear", "DequantizeLinear")
_PASSED_ON = ("Identity", "Add", "Sub", "Mul", "Div", "Cast", "Flatten", "Reshape", *_ROUNDED)
_PRODUCTS = ("Gemm", "MatMul")
_ARRAYS = ("centre", "spread", "axes", "weights", "means", "shrink", "usual", "units", "ordinary")

USUAL = 0.95
"""From which share on a picture is none of the classes, where nobody said."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Novelty:
    """value: the name of the features (N, d) within a graph. sha256: of that graph's file: in another one the name may mean
    something else. centre, spread (d): of the features of what was learned, by which they are standardised. axes (d, k): of
    largest variance, orthonormal. weights (d, r): from standardised features to the directions that tell classes apart. means
    (classes, r): there. shrink (r): what the distance to the mean of all weighs. usual, units (2): of both distances, of ordinary
    pictures. ordinary (m): ascending sums of m >= 1 pictures that were not learned from."""

    value: str
    sha256: str
    centre: Floats
    spread: Floats
    axes: Floats
    weights: Floats
    means: Floats
    shrink: Floats
    usual: Floats
    units: Floats
    ordinary: Floats

    def parts(self, features: NDArray[np.floating]) -> Floats:
        """(N, 2) of features (N, d): the relative Mahalanobis distance and the residual's share; infinite where a feature is no
        number."""
        known = np.isfinite(features).all(axis=1)
        scaled = (np.where(known[:, None], features, 0).astype(np.float32) - self.centre) / self.spread
        places = scaled @ self.weights
        nearest = ((places[:, None] - self.means[None]) ** 2).sum(axis=2).min(axis=1)
        relative = nearest - (places**2 * self.shrink).sum(axis=1)
        whole = (scaled**2).sum(axis=1)
        left = np.maximum(whole - ((scaled @ self.axes) ** 2).sum(axis=1), 0)
        residual = np.sqrt(left / np.maximum(whole, 1e-12))
        found: Floats = np.where(known[:, None], np.stack([relative, residual], axis=1), np.inf).astype(np.float32)
        return found

    def distances(self, features: NDArray[np.floating]) -> Floats:
        """(N) the sum of both in their units."""
        found: Floats = ((self.parts(features) - self.usual) / self.units).sum(axis=1)
        return found

    def shares(self, features: NDArray[np.floating]) -> Floats:
        """(N) shares in [0, 1] of the ordinary pictures that are less novel."""
        less = np.searchsorted(self.ordinary, self.distances(features), side="left")
        found: Floats = (less / len(self.ordinary)).astype(np.float32)
        return found

    def content(self) -> bytes:
        """The file's."""
        arrays = {name: np.ascontiguousarray(getattr(self, name), np.float32) for name in _ARRAYS}
        return safetensors.numpy.save(arrays, {"value": self.value, "sha256": self.sha256})


def keeps_novelty(bundle: Bundle) -> bool:
    """Whether there is something to read."""
    return FILE in bundle.manifest.files


def read_novelty(bundle: Bundle) -> Novelty:
    """What the bundle keeps. Raises BundleError for a bundle without, and for a file that is none."""
    if not keeps_novelty(bundle):
        raise BundleError(
            f"{bundle.folder}: it keeps nothing that tells which pictures are unlike all that it learned from. Add it with: "
            f"pocketvision threshold {bundle.folder} RUN/split.csv --none-of-these 0.05"
        )
    try:
        with utf8_path(bundle.path(FILE)) as path, safetensors.safe_open(path, "numpy") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in _ARRAYS}
        return Novelty(metadata["value"], metadata["sha256"], **arrays)
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise BundleError(f"{bundle.folder}: {FILE} can not be read ({error})") from error


def novelty_of(bundle: Bundle, file: str) -> Novelty | None:
    """What is told beside the answers of a bundle's graph; None where the bundle tells no novelty, or that of another graph."""
    if FILE not in bundle.manifest.files or not any(
        NOVEL_FROM in each.postprocessing for each in bundle.tasks.values()
    ):
        return None
    found = read_novelty(bundle)
    return found if bundle.manifest.files[file].sha256 == found.sha256 else None


def telling(bundle: Bundle, share: float = USUAL) -> Bundle:
    """The bundle, whose answers say from this share on that a picture is none of the classes; it is as it was where its manifest
    says from which. Raises BundleError for one that keeps nothing to tell it by."""
    if any(NOVEL_FROM in task.postprocessing for task in bundle.tasks.values()):
        return bundle
    name = _task_of(bundle, read_novelty(bundle))
    task = bundle.tasks[name]
    told = replace(task, postprocessing={**task.postprocessing, NOVEL_FROM: share})
    return replace(bundle, manifest=replace(bundle.manifest, tasks={**bundle.tasks, name: told}))


def moved(bundle: Bundle, model: bytes) -> Novelty:
    """What the bundle keeps, for another graph of the same network, such as one in 8 bits: its last layer reads features of
    another name, and those of 8 bits lie a little elsewhere. Raises BundleError for a bundle without, UsageError for a graph
    whose last layer can not be found."""
    novelty = read_novelty(bundle)
    value = last_features(model, bundle.tasks[_task_of(bundle, novelty)].outputs["logits"])
    return replace(novelty, value=value, sha256=hashlib.sha256(model).hexdigest())


def _task_of(bundle: Bundle, novelty: Novelty) -> str:
    """The task whose last layer reads the features. Raises BundleError where none does."""
    of_graph = (name for name, file in bundle.manifest.files.items() if file.sha256 == novelty.sha256)
    file = next(of_graph, None)
    model = b"" if file is None else bundle.path(file).read_bytes()
    for name, task in bundle.tasks.items():
        try:
            if model and last_features(model, task.outputs.get("logits", "")) == novelty.value:
                return name
        except UsageError:
            continue
    raise BundleError(
        f"{bundle.folder}: {FILE} is of another graph than the bundle's. Fit it anew: pocketvision threshold {bundle.folder} "
        "RUN/split.csv --none-of-these 0.05"
    )


def last_features(model: bytes, logits: str) -> str:
    """The name of what the last layer of an ONNX graph reads, whose output `logits` is; in 8 bits, before it is rounded. Raises
    UsageError where the logits are no matrix product of features."""
    made = {name: node for node in nodes_of(model) for name in node.outputs}
    node = made.get(logits)
    while node is not None and node.operator in _PASSED_ON:
        node = next((made[name] for name in node.inputs if name in made), None)
    features = None if node is None or node.operator not in _PRODUCTS else next(iter(node.inputs), None)
    while features in made and made[features].operator in _ROUNDED:
        features = made[features].inputs[0]
    if features not in made:
        raise UsageError(
            "What is unlike all that was learned is told by the features that a linear layer reads; this graph's classes come "
            f"from {'another operator' if node is None else node.operator}."
        )
    return str(features)


class Runs(Protocol):
    """What is asked of a backend here (backends.py)."""

    size: tuple[int, int]
    outputs: Shapes

    def run(self, images: NDArray[np.float32]) -> Outputs:
        """Preprocessed images (N, 3, H, W) to the graph's outputs by name."""
        ...


class NovelBackend:
    """A backend that tells the novelty of each image too, from features that the graph puts out beside its answers."""

    def __init__(self, backend: Runs, novelty: Novelty) -> None:
        """backend: puts out novelty.value too."""
        self._backend, self._novelty = backend, novelty
        self.size: tuple[int, int] = backend.size
        answers = {name: shape for name, shape in backend.outputs.items() if name != novelty.value}
        self.outputs: Shapes = {**answers, NOVELTY: ()}

    def run(self, images: NDArray[np.float32]) -> Outputs:
        """As the protocol says (backends.py)."""
        found = dict(self._backend.run(images))
        features = found.pop(self._novelty.value)
        return {**found, NOVELTY: self._novelty.shares(features.reshape(len(images), -1))}
