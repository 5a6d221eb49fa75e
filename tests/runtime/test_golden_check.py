"""One golden check: `serve` takes what `verify` takes, and refuses what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError
from pocketvision.runtime.backends import open_backend
from pocketvision.runtime.golden_check import GOLDEN_TOLERANCE, TOLERANCE, check_golden, golden_tolerance
from pocketvision.runtime.verify import verify_bundle
from pocketvision.serving import served_model
from pocketvision.serving.served_model import open_warm
from pocketvision.serving.settings import ServerSettings


class _Off:
    """A backend whose probabilities are off by so much."""

    def __init__(self, bundle: Bundle, by: float) -> None:
        self._inner, self._by = open_backend(bundle, "onnxruntime"), by
        self.size, self.outputs = self._inner.size, self._inner.outputs

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
        outputs = self._inner.run(images)
        return {**outputs, "probabilities": outputs["probabilities"] + np.float32(self._by)}


def allowing(bundle: Bundle, *, whole: float | None = None, file: float | None = None) -> Bundle:
    """The bundle with tolerances of its own in its manifest."""
    manifest = bundle.manifest
    compression = {} if whole is None else {GOLDEN_TOLERANCE: whole}
    agreement = {} if file is None else {"model.onnx": {GOLDEN_TOLERANCE: file}}
    return replace(bundle, manifest=replace(manifest, compression=compression, agreement=agreement))


@pytest.mark.parametrize(
    ("whole", "file", "expected"), [(None, None, TOLERANCE), (0.05, None, 0.05), (None, 0.1, 0.1), (0.05, 0.1, 0.1)]
)
def test_a_files_own_tolerance_counts_before_the_bundles(
    tiny_bundle: Bundle, whole: float | None, file: float | None, expected: float
) -> None:
    bundle = allowing(tiny_bundle, whole=whole, file=file)
    assert golden_tolerance(bundle, "onnxruntime") == expected
    assert check_golden(bundle, "onnxruntime", _Off(bundle, 0.9 * expected)) == pytest.approx(0.9 * expected, rel=0.05)
    for wrong in (1.2 * expected, float("nan")):
        with pytest.raises(BundleError, match="onnxruntime does not answer as it was measured"):
            check_golden(bundle, "onnxruntime", _Off(bundle, wrong))


@pytest.mark.parametrize("tolerances", [{}, {"whole": 0.05}, {"file": 0.05}])
def test_serve_and_verify_agree(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tolerances: dict[str, float]
) -> None:
    bundle = allowing(tiny_bundle, **tolerances)
    off = _Off(bundle, 0.03)
    monkeypatch.setattr("pocketvision.runtime.verify.open_backend", lambda *_, **__: off)
    monkeypatch.setattr(served_model, "open_backend", lambda *_, **__: off)
    monkeypatch.setattr(served_model, "read_bundle", lambda *_, **__: bundle)
    outcomes = []
    for check in (
        lambda: verify_bundle(bundle, backends=["onnxruntime"]),
        lambda: open_warm(tiny_bundle.folder, ServerSettings()),
    ):
        try:
            check()
            outcomes.append("taken")
        except BundleError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
    assert (outcomes[0] == "taken") is bool(tolerances)
