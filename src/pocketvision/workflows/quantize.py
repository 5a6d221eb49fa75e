"""quantize: an 8-bit bundle from a float one, with its loss of accuracy measured and bounded."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketvision.bundle import Bundle
from pocketvision.compression.budget import check_points
from pocketvision.compression.bundle_images import calibration_images, hashes_for, measuring_images
from pocketvision.compression.candidate import Candidate
from pocketvision.compression.quantizing import (
    baseline_of_search,
    float_file,
    record_of,
    refusal,
    search_data,
    tuned_file,
    write_quantized,
)
from pocketvision.compression.search import Search, search
from pocketvision.compression.settings import CALIBRATION, CANDIDATES, MAX_ACCURACY_DROP, Settings, Tuning
from pocketvision.errors import UsageError, unknown_name
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.runtime.backends import BACKENDS
from pocketvision.workflows.pretrained import open_bundle, output_folder

METHODS = ("auto", "all", *CANDIDATES)
"""auto: ONNX Runtime's, which every installation runs, until one is good enough. all: every one that is installed."""


@dataclass(frozen=True)
class QuantizeResult:
    """The 8-bit bundle, the candidate that it holds, all that was tried, and the size in bytes of the float network's file."""

    bundle: Bundle
    chosen: Candidate
    search: Search
    float_bytes: int
    max_accuracy_drop: float

    @property
    def is_sure(self) -> bool:
        """Whether enough images were measured to say so: the whole interval of the drop lies within what is allowed."""
        return self.chosen.comparison.is_sure(self.max_accuracy_drop)

    @property
    def install(self) -> str:
        """The line that installs what runs the bundle; empty where every installation does."""
        return "" if self.chosen.settings.is_portable else BACKENDS[self.chosen.settings.backend].install

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "bundle": str(self.bundle.folder),
            "is_sure": self.is_sure,
            "backend": self.chosen.settings.backend,
            "install": self.install,
            **self.bundle.manifest.compression,
        }


def quantize(
    bundle: str | Path,
    *,
    data: str | Path | None = None,
    images: str | Path | None = None,
    out: str | Path | None = None,
    method: str = "auto",
    candidates: Sequence[Settings] | None = None,
    max_accuracy_drop: float = MAX_ACCURACY_DROP,
    calibration: int = CALIBRATION,
    tune_epochs: float = Tuning.epochs,
    tune_lr: float = Tuning.lr,
    seconds: float = 1.0,
    on_event: OnEvent = silent,
) -> QuantizeResult:
    """Write an 8-bit bundle of a bundle (or of a pre-trained network by name) to `out` (None: its name with -int8).

    method: "onnxruntime" (static), "openvino" (NNCF) or "dynamic" (linear layers only) for all of a tool's candidates; "auto" for
    ONNX Runtime's until one is good enough; "all" for the first two, as far as they are installed; `candidates` in place of that.
    Each (compression/settings.py) is calibrated with `calibration` images of the training split of `data` (None: of the run the
    bundle lies in) and compared on its whole validation split. compression/selection.py says which one is taken of those whose
    accuracy drops by at most `max_accuracy_drop` points. The 8-bit bundle holds no float weights: it can not be exported further.

    tune_epochs: more than 0 to tune the network for 8 bits on that training split first, with tune_lr as its highest rate. The
    candidates are then tried on the tuned weights as well, and both are compared with the bundle's own answers.

    Raises AgreementError when no candidate is within the allowed drop (no bundle is written, the figures are left beside `out`),
    UsageError (a bundle that is quantized already, no data, other classes), BundleError, MissingExtraError.
    """
    read = open_bundle(bundle)
    stop_early = method == "auto" and candidates is None
    candidates = _candidates(method) if candidates is None else candidates
    path = float_file(read)
    check_points(max_accuracy_drop)
    if calibration < 1:
        raise UsageError(f"--calibration is {calibration}; expected 1 or more images.")
    tuning = Tuning(tune_epochs, tune_lr)
    folder = output_folder(bundle, read, out, "-int8")
    learning = calibration_images(read, data, on_event, images, most=None if tuning.epochs else calibration)
    validation = measuring_images(read, data, on_event, images)
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        inputs = search_data(read, learning.some(calibration), validation, scratch / "images.npy")
        found = search(
            path,
            scratch,
            candidates,
            inputs,
            max_drop=max_accuracy_drop,
            seconds=seconds,
            on_progress=lambda text: on_event(Note(text)),
            tuned=tuned_file(read, learning, tuning, scratch / "tuned", on_event) if tuning.epochs else None,
            stop_early=stop_early,
        )
        record = {"measured_on": validation.role, **record_of(found, inputs, max_accuracy_drop, path.stat().st_size)}
        if tuning.epochs:
            record["tuning"] = {**asdict(tuning), "images": len(learning)}
        if found.chosen is None:
            raise refusal(found, folder, record, max_accuracy_drop, method)
        kept = (
            baseline_of_search(found, inputs.images, validation),
            hashes_for(read, learning if tuning.epochs else None),
        )
        written = write_quantized(read, folder, scratch, found.chosen, record, *kept)
    return QuantizeResult(written, found.chosen, found, path.stat().st_size, max_accuracy_drop)


def _candidates(method: str) -> list[Settings]:
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    every = ["onnxruntime", *(["openvino"] if BACKENDS["openvino"].installed else [])]
    tools = {"auto": ["onnxruntime"], "all": every}.get(method, [method])
    return [each for name in tools for each in CANDIDATES[name]]
