"""What a bundle keeps to tell pictures that are unlike all that it learned from (runtime/novelty.py), fitted in closed form."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.data.samples import Samples
from pocketvision.errors import BundleError, ImageError, PocketVisionError, UsageError
from pocketvision.prefetch import prefetch
from pocketvision.printable import counted
from pocketvision.runtime.novelty import Novelty, last_features
from pocketvision.runtime.onnx_backend import open_model
from pocketvision.runtime.onnx_part import with_outputs

GRAPH = "model.onnx"
MOST = 10_000
"""Pictures that are fitted on at most, evenly chosen."""

SHRINKAGE = 1.0
"""Of the covariance towards a multiple of the identity, in units of its mean variance. Left-out classes of clothing are told with
an AUROC of 0.80 to 0.82 from 0.3 to 3 (benchmarks/out_of_distribution.py)."""

AXES = 16
"""Of largest variance, whose rest tells pictures of another kind. 8 to 64 of them and weights of 0.7 to 1.5 were tried on
sign_digits and Fashion-MNIST: where 9, 4 and 2 of their ten classes were learned, other sets are told with an AUROC of 0.997,
0.994 and 0.975 (by the relative distance alone 0.975, 0.948, 0.868), the other classes with 0.855, 0.903 and 0.881 (0.851, 0.885,
0.799). More axes tell other sets better there, and the classes left out of clothing worse."""

MOST_SHARE = 0.25
"""Of the graph's file, what is kept at training may take: with a thousand classes it would be as large as the network."""

ALIKE = 0.02
"""How far features that were cached in half precision may lie from the graph's, as a share of their length."""

BATCH = 8
_LEAST_SPREAD = (
    0.1  # Of the median: a channel that is silent on all pictures but one would be worth hundreds on a new one.
)

Floats = NDArray[np.float32]


def fit_novelty(
    bundle: Bundle,
    name: str,
    learned: Samples,
    ordinary: Samples,
    share: float,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Novelty:
    """What tells novelty for the bundle's task `name`, where `share` of ordinary pictures are to be of none of the classes.
    learned: pictures that it learned from, with classes; ordinary: others like them, whose classes do not matter. on_progress:
    pictures read and their total.

    Raises UsageError for a share outside (0, 1), too few pictures, one class, features that are no numbers, and a head that is
    not linear; BundleError for a bundle without model.onnx.
    """
    _require_enough(len(ordinary), share)
    if GRAPH not in bundle.manifest.files:
        raise BundleError(f"{bundle.folder} holds no {GRAPH}, whose features tell what is novel.")
    model = bundle.path(GRAPH).read_bytes()
    value = last_features(model, bundle.tasks[name].outputs["logits"])
    learned = learned.select(np.unique(np.linspace(0, len(learned) - 1, min(MOST, len(learned))).astype(np.int64)))
    total, done = len(learned) + len(ordinary), count(1)
    told = on_progress or (lambda _done, _total: None)
    read = FeatureReader(bundle, model, value, workers=workers, on_picture=lambda: told(next(done), total))
    features, rows = read([learned.file(index) for index in range(len(learned))])
    others, _ = read([ordinary.file(index) for index in range(len(ordinary))])
    novelty = fitted(features, learned.labels[rows].astype(np.int64), value, bundle.manifest.files[GRAPH].sha256)
    return calibrated(novelty, others)


def require_ordinary(novelty: Novelty, share: float) -> None:
    """Raise UsageError where what is kept knows too few ordinary pictures to be wrong about so small a share of them."""
    _require_enough(len(novelty.ordinary), share)


def _require_enough(ordinary: int, share: float) -> None:
    least = round(1 / share) if 0 < share < 1 else 0
    if not least:
        raise UsageError(f"--none-of-these is {share:g}; expected a share between 0 and 1, such as 0.05.")
    if ordinary < least:
        raise UsageError(
            f"--none-of-these {share:g} takes at least {least} ordinary pictures that were not learned from; there are "
            f"{ordinary}."
        )


def fit_on_features(
    bundle: Bundle, name: str, features: Floats, labels: NDArray[np.integer], ordinary: Floats, picture: Path
) -> Novelty:
    """The same at the end of a training, whose features are at hand. features: (n, d) of pictures that the bundle's task `name`
    learned from, of the classes `labels` (n), -1 for none; ordinary: (m, d), m >= 1, of others like them; picture: the first
    one's file, of which the bundle's graph has to make the same.

    Raises UsageError as `fitted` does, for a head that is not linear, for features that are not the graph's, and where what is
    kept would add more than a MOST_SHARE of the graph's file; BundleError for a bundle without model.onnx.
    """
    if GRAPH not in bundle.manifest.files:
        raise BundleError(f"{bundle.folder} holds no {GRAPH}, whose features tell what is novel.")
    model = bundle.path(GRAPH).read_bytes()
    value = last_features(model, bundle.tasks[name].outputs["logits"])
    (shipped,), _ = FeatureReader(bundle, model, value, workers=1)([picture])
    apart = np.linalg.norm(shipped - features[0]) if shipped.shape == features[0].shape else np.inf
    if not apart <= ALIKE * np.linalg.norm(shipped):
        raise UsageError(f"The features that the training kept are not those of {GRAPH}.")
    novelty = fitted(features, labels.astype(np.int64), value, bundle.manifest.files[GRAPH].sha256)
    if novelty.weights.nbytes > MOST_SHARE * len(model):
        raise UsageError(f"What tells novelty would take {novelty.weights.nbytes:,} bytes beside {GRAPH}.")
    return calibrated(novelty, ordinary)


def calibrated(novelty: Novelty, ordinary: Floats) -> Novelty:
    """The same with the units of its distances: the median of ordinary pictures, whose features (m, d), m >= 1, are given, and
    how far 84 % lie at most above it."""
    usual, high = np.percentile(novelty.parts(ordinary), [50, 84], axis=0).astype(np.float32)
    units = np.where(high > usual, high - usual, 1).astype(np.float32)
    known = replace(novelty, usual=usual, units=units)
    return replace(known, ordinary=np.sort(known.distances(ordinary)))


def fitted(features: Floats, labels: NDArray[np.int64], value: str = "", sha256: str = "") -> Novelty:
    """From features (n, d) of pictures of classes (n), whole numbers, -1 for none; without ordinary pictures yet.

    Raises UsageError for fewer than two classes and features that are no numbers.
    """
    features, labels = features[labels >= 0], labels[labels >= 0]
    classes, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise UsageError(f"Novelty is told by what tells classes apart; there is {counted(len(classes), 'class')}.")
    if not np.isfinite(features).all():
        raise UsageError("Some of the network's features are no numbers: novelty can not be fitted.")
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.maximum(spread, max(_LEAST_SPREAD * float(np.median(spread)), 1e-6))
    scaled = (features - centre) / spread
    means = np.stack([scaled[places == place].mean(axis=0) for place in range(len(classes))])
    inverse = _inverse_covariance(scaled - means[places])
    between = (means * np.sqrt(counts / counts.sum())[:, None]).T
    solved = inverse(between)
    variances, turns = np.linalg.eigh(between.T @ solved)
    kept = len(classes) - 1
    variances, turns = np.maximum(variances[:0:-1], 1e-12)[:kept], turns[:, :0:-1][:, :kept]
    directions = solved @ turns / np.sqrt(variances)
    arrays = (
        centre,
        spread,
        _axes(scaled),
        directions,
        means @ directions,
        1 / (1 + variances),
        np.zeros(2),
        np.ones(2),
        np.zeros(1),
    )
    return Novelty(value, sha256, *(np.asarray(each, np.float32) for each in arrays))


def _inverse_covariance(within: Floats) -> Callable[[NDArray[np.floating]], NDArray[np.float64]]:
    """From (d, k) to the same by the inverse of the shrunken covariance of (n, d), through the smaller of n and d (Woodbury's
    identity): 144 pictures of 3,584 features are fitted in 0.14 s so, in 0.9 s by their covariance."""
    from scipy.linalg import cho_factor, cho_solve

    count, size = within.shape
    ridge = SHRINKAGE * max(float((within**2).sum()) / count / size, 1e-6)
    by_feature = size <= count
    product = (within.T @ within if by_feature else within @ within.T).astype(np.float64) / count
    product[np.diag_indices_from(product)] += ridge
    factor = cho_factor(product, lower=True, overwrite_a=True, check_finite=False)
    if by_feature:
        return lambda values: np.asarray(cho_solve(factor, values, check_finite=False))
    return lambda values: (values - within.T @ cho_solve(factor, within @ values, check_finite=False) / count) / ridge


def _axes(scaled: Floats) -> Floats:
    """(d, k) the directions in which (n, d) standardised features vary most, AXES of them, or fewer where n or d are small."""
    from scipy.sparse.linalg import svds

    count = min(AXES, min(scaled.shape) - 1)
    if count < 1:
        return np.zeros((scaled.shape[1], 0), np.float32)
    _, _, found = svds(scaled, k=count, v0=np.ones(min(scaled.shape), scaled.dtype))
    return np.ascontiguousarray(found.T)


class FeatureReader:
    """Reads the features of pictures that can be read, as a bundle's graph has them. on_picture: called after each."""

    def __init__(
        self,
        bundle: Bundle,
        model: bytes,
        value: str,
        *,
        workers: int | None = None,
        on_picture: Callable[[], None] = lambda: None,
    ) -> None:
        """model: of the graph; value: the features' name within. Raises BundleError where it can not be loaded."""
        self._bundle, self._value, self._told = bundle, value, on_picture
        self._backend = open_model(with_outputs(model, [value]), str(bundle.path(GRAPH)))
        self._workers = 2 if workers is None else workers

    def __call__(self, files: Sequence[Path]) -> tuple[Floats, NDArray[np.int64]]:
        """(n, d) of those that can be read, and which they are. Raises PocketVisionError where none can."""
        parts, rows = list[Floats](), list[int]()
        for pixels, own in self._batches(files):
            found = self._backend.run(np.stack(pixels))[self._value]
            parts.append(np.asarray(found, np.float32).reshape(len(own), -1))
            rows += own
        if not rows:
            such = f", such as {files[0]}" if files else ""
            raise PocketVisionError(f"None of {counted(len(files), 'picture')} can be read{such}.")
        return np.concatenate(parts), np.array(rows, np.int64)

    def _batches(self, files: Sequence[Path]) -> Iterator[tuple[list[Floats], list[int]]]:
        pixels, rows = list[Floats](), list[int]()
        for index, found in enumerate(prefetch(self._placed, files, workers=self._workers)):
            self._told()
            if found is not None:
                pixels.append(found)
                rows.append(index)
            if len(rows) == BATCH:
                yield pixels, rows
                pixels, rows = [], []
        if rows:
            yield pixels, rows

    def _placed(self, file: Path) -> Floats | None:
        try:
            return self._bundle.preprocessing.place(file)[0]
        except ImageError:
            return None
