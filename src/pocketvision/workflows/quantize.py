"""quantize: an 8-bit bundle from a float one, with its loss of accuracy measured and bounded."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pocketvision.atomic_files import write_json
from pocketvision.baseline import Distribution, baseline, brightness_of_inputs
from pocketvision.bundle import Bundle, write_bundle
from pocketvision.compression.candidate import Candidate
from pocketvision.compression.quantize_aware import tune_for_8_bits
from pocketvision.compression.search import Search, SearchData, answers_of, open_float, search
from pocketvision.compression.settings import CALIBRATION, CANDIDATES, MAX_ACCURACY_DROP, Settings, Tuning
from pocketvision.errors import AgreementError, UsageError, unknown_name
from pocketvision.export.exportable import Exportable
from pocketvision.export.to_onnx import FILE, write_onnx
from pocketvision.models.network import fold_norms
from pocketvision.models.rebuild import rebuilt
from pocketvision.printable import counted
from pocketvision.runtime.backends import BACKENDS, open_backend
from pocketvision.runtime.batches import no_answers
from pocketvision.runtime.golden_check import GOLDEN_TOLERANCE, OTHER_CPU_TOLERANCE
from pocketvision.training.image_batches import image_batches
from pocketvision.training.loop import LoopSettings
from pocketvision.workflows.bundle_images import BundleImages, calibration_images, hashes_for, measuring_images
from pocketvision.workflows.export import describe_drop, json_safe
from pocketvision.workflows.pretrained import open_bundle, output_folder
from pocketvision.workflows.progress import Note, OnEvent, report_tuning_step, silent

METHODS = ("auto", "all", *CANDIDATES)
"""auto: ONNX Runtime's, which every installation runs, until one is good enough. all: every one that is installed."""
REPORT = "quantization-failed.json"


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
    path = _float_file(read)
    _check_limits(max_accuracy_drop, calibration)
    tuning = Tuning(tune_epochs, tune_lr)
    folder = output_folder(bundle, read, out, "-int8")
    learning = calibration_images(read, data, on_event, images, most=None if tuning.epochs else calibration)
    validation = measuring_images(read, data, on_event, images)
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        inputs = _search_data(path, learning.some(calibration), validation, scratch / "images.npy")
        found = search(
            path,
            scratch,
            candidates,
            inputs,
            max_drop=max_accuracy_drop,
            seconds=seconds,
            on_progress=lambda text: on_event(Note(text)),
            tuned=_tuned(read, learning, tuning, scratch / "tuned", on_event) if tuning.epochs else None,
            stop_early=stop_early,
        )
        record = {"measured_on": validation.role, **_record(found, inputs, max_accuracy_drop, path.stat().st_size)}
        if tuning.epochs:
            record["tuning"] = {**asdict(tuning), "images": len(learning)}
        if found.chosen is None:
            raise _refusal(found, folder, record, max_accuracy_drop, method)
        kept = (_baseline(found, inputs.images, validation), hashes_for(read, learning if tuning.epochs else None))
        written = _write(read, folder, scratch, found.chosen, record, *kept)
    return QuantizeResult(written, found.chosen, found, path.stat().st_size, max_accuracy_drop)


def _check_limits(max_accuracy_drop: float, calibration: int) -> None:
    if not 0 <= max_accuracy_drop <= 100:
        raise UsageError(f"--max-accuracy-drop is {max_accuracy_drop}; expected percentage points, 0 to 100.")
    if calibration < 1:
        raise UsageError(f"--calibration is {calibration}; expected 1 or more images.")


def _candidates(method: str) -> list[Settings]:
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    every = ["onnxruntime", *(["openvino"] if BACKENDS["openvino"].installed else [])]
    tools = {"auto": ["onnxruntime"], "all": every}.get(method, [method])
    return [each for name in tools for each in CANDIDATES[name]]


def _search_data(path: Path, calibrating: BundleImages, validation: BundleImages, file: Path) -> SearchData:
    images = _array(validation, file)
    calibration = np.concatenate(list(calibrating.batches()))
    return SearchData(images, validation.truth, answers_of(open_float(path), images), calibration)


def _float_file(bundle: Bundle) -> Path:
    if "quantization" in bundle.manifest.compression:
        raise UsageError(f"{bundle.folder} is quantized already. Take the bundle that it was made from.")
    if "model.onnx" not in bundle.manifest.files:
        raise UsageError(
            f"{bundle.folder} holds no model.onnx to quantize; add it: pocketvision export {bundle.folder} --to onnx"
        )
    return bundle.path("model.onnx")


def _tuned(bundle: Bundle, learning: BundleImages, tuning: Tuning, folder: Path, on_event: OnEvent) -> Path:
    """The ONNX file, in `folder`, of the network tuned for 8 bits on `learning`."""
    assert learning.truth is not None
    size = bundle.preprocessing
    steps = max(1, round(tuning.epochs * len(learning) / tuning.batch))
    on_event(Note(f"Tuning for 8 bits: {counted(steps, 'step')} of {counted(tuning.batch, 'image')}"))
    batches = image_batches(
        learning.files, learning.truth, size, batch=tuning.batch, seed=tuning.seed, augmentation="light"
    )
    network = rebuilt(bundle)
    # Taught by the network as it is and in light views, EfficientNet-Lite0 on Fashion-MNIST lost 0.01 points in 8 bits after
    # 5,000 images (0.51 untuned); by labels alone in standard views 2.24.
    tuned = tune_for_8_bits(
        network,
        batches,
        LoopSettings(steps, tuning.lr),
        size=(size.height, size.width),
        teacher=fold_norms(network).to(memory_format=torch.channels_last),
        on_step=lambda step: report_tuning_step(on_event, step, steps),
    )
    folder.mkdir()
    write_onnx(Exportable(tuned, bundle.tasks, size), folder)
    return folder / FILE


def _array(images: BundleImages, file: Path) -> NDArray[np.float32]:
    """All of them, in a file that the system keeps in memory as far as it fits."""
    size = images.preprocessing
    array = np.lib.format.open_memmap(
        file, mode="w+", dtype=np.float32, shape=(len(images), 3, size.height, size.width)
    )
    done = 0
    for batch in images.batches():
        array[done : done + len(batch)] = batch
        done += len(batch)
    return array


def _baseline(found: Search, images: NDArray[np.float32], validation: BundleImages) -> dict[str, Distribution]:
    """Anew: 8 bits are not as sure of their answers as the float network was."""
    if found.confidences is None:
        return {}
    starts = range(0, len(images), 32)
    brightness = [brightness_of_inputs(images[start : start + 32], validation.preprocessing) for start in starts]
    return baseline(found.confidences, np.concatenate(brightness), "val")


def _record(found: Search, data: SearchData, max_drop: float, float_bytes: int) -> dict[str, Any]:
    """What the manifest says under `compression`."""
    chosen = found.chosen
    return {
        "quantization": None if chosen is None else {"title": chosen.settings.title, **chosen.settings.to_dict()},
        "reason": found.reason,
        "candidates": [each.to_dict() for each in found.candidates],
        "untried": found.untried,
        "failed": found.failed,
        "sensitivities": [asdict(each) for each in found.sensitivities],
        "calibration_images": len(data.calibration),
        "measured_images": len(data.images),
        "max_accuracy_drop": max_drop,
        "float": {"bytes": float_bytes, **asdict(found.float_latency)},
        GOLDEN_TOLERANCE: OTHER_CPU_TOLERANCE,
    }


def _refusal(found: Search, folder: Path, record: dict[str, Any], max_drop: float, method: str) -> AgreementError:
    """Why no bundle is written; the figures are left beside it."""
    report = folder.parent / f"{folder.name}.{REPORT}"
    write_json(report, json_safe(record))
    if not found.candidates:
        reasons = "; ".join(f"{title}: {reason}" for title, reason in found.failed.items())
        return AgreementError(f"Nothing could be quantized ({reasons}).")
    best = min(found.candidates, key=lambda each: (each.comparison.drop or 0.0, -each.comparison.top1_agreement))
    more = " OpenVINO's candidates were not tried: --method all." if method in ("auto", "onnxruntime") else ""
    return AgreementError(
        f"No bundle was written. The best of {counted(len(found.candidates), 'candidate')} is {best.settings.title}: "
        f"{describe_drop(best.comparison, max_drop)} All figures are in {report}.{more}"
    )


def _write(
    bundle: Bundle,
    out: Path,
    folder: Path,
    chosen: Candidate,
    record: dict[str, Any],
    measured: dict[str, Distribution],
    hashes: dict[str, Path | bytes],
) -> Bundle:
    """The 8-bit bundle: its graph, what it answers to the golden images, the figures, and the hashes of what it learned from."""
    openvino = chosen.settings.tool == "openvino"
    names = ("model.xml", "model.bin") if openvino else ("model.onnx",)
    graph = next(each for each in bundle.manifest.graphs if "model.onnx" in each.files)
    figures = {**chosen.comparison.figures(), "bytes": float(chosen.bytes)}
    if chosen.latency is not None:
        figures |= {name: round(value, 3) for name, value in asdict(chosen.latency).items()}
    manifest = replace(
        bundle.manifest,
        graphs=(replace(graph, name="openvino" if openvino else "onnx", files=names),),
        agreement={names[0]: figures},
        compression=record,
        commands={},
        baseline=measured,
        files={},
        versions={},
    )
    images = bundle.golden()["images"]
    files: dict[str, Path | bytes] = {**{name: folder / name for name in names}, **hashes}
    # Its own answers: they are what another machine has to give as well. First a bundle with none that are meant, to ask it.
    blank = no_answers(bundle.output_shapes("model.onnx"), len(images))
    with tempfile.TemporaryDirectory() as temporary:
        draft = write_bundle(Path(temporary) / "draft", manifest, files, images, blank)
        answers = open_backend(draft).run(images)
        return write_bundle(out, manifest, files, images, answers)
