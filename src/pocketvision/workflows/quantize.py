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
from pocketvision.bundle import Bundle, resolve, write_bundle
from pocketvision.compression.quantize_aware import tune_for_8_bits
from pocketvision.compression.search import Candidate, Search, SearchData, answers_of, open_float, search
from pocketvision.compression.settings import CANDIDATES, Settings
from pocketvision.errors import AgreementError, UsageError, unknown_name
from pocketvision.export.exportable import Exportable
from pocketvision.export.to_onnx import FILE, write_onnx
from pocketvision.models.network import fold_norms
from pocketvision.models.rebuild import rebuilt
from pocketvision.runtime.backends import BACKENDS, open_backend
from pocketvision.runtime.verify import GOLDEN_TOLERANCE, OTHER_CPU_TOLERANCE
from pocketvision.training.image_batches import image_batches
from pocketvision.training.loop import LoopSettings
from pocketvision.workflows.bundle_images import CALIBRATION, BundleImages, calibration_images, measuring_images
from pocketvision.workflows.export import MAX_ACCURACY_DROP, describe_drop, json_safe
from pocketvision.workflows.pretrained import open_bundle
from pocketvision.workflows.progress import Note, OnEvent, report_tuning_step, silent

METHODS = ("auto", *CANDIDATES)
REPORT = "quantization-failed.json"
TUNE_LR = 1e-4


@dataclass(frozen=True)
class Tuning:
    """Tuning for 8 bits: epochs of the training split, 0 for none; lr: its highest rate."""

    epochs: float = 0.0
    lr: float = TUNE_LR
    batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, most in (("epochs", 0, 1000), ("lr", 1e-8, 1)):
            if not low <= getattr(self, name) <= most:
                raise UsageError(
                    f"--tune-{name} is {getattr(self, name):g}; expected a number from {low:g} to {most:g}."
                )


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"bundle": str(self.bundle.folder), "is_sure": self.is_sure, **self.bundle.manifest.compression}


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
    tune_epochs: float = 0.0,
    tune_lr: float = TUNE_LR,
    seconds: float = 1.0,
    on_event: OnEvent = silent,
) -> QuantizeResult:
    """Write an 8-bit bundle of a bundle (or of a pre-trained network by name) to `out` (None: its name with -int8).

    method: "onnxruntime" (static), "openvino" (NNCF), "dynamic" (linear layers only), or "auto" for the first two, as far as they
    are installed; `candidates` in place of that. Each (compression/settings.py) is calibrated with `calibration` images of the
    training split of `data` (None: of the run the bundle lies in) and compared on its whole validation split; of those whose
    accuracy drops by at most `max_accuracy_drop` points (the whole paired interval, if there are images
    enough for that to hold for any) the fastest here is taken. The settings, and what
    else was tried, go into the manifest. The 8-bit bundle holds no float weights, so it can not be exported further.

    tune_epochs: more than 0 to tune the network for 8 bits on that training split first, with tune_lr as its highest rate. Every
    candidate is then tried on the tuned weights as well, and both are compared with the bundle's own answers.

    Raises AgreementError when no candidate is within the allowed drop: no bundle is written, the figures are left beside `out`.
    Raises UsageError (a bundle that is quantized already, no data, other classes), BundleError, MissingExtraError.
    """
    read = open_bundle(bundle)
    candidates = _candidates(method) if candidates is None else candidates
    path = _float_file(read)
    if not 0 <= max_accuracy_drop <= 100:
        raise UsageError(f"--max-accuracy-drop is {max_accuracy_drop}; expected percentage points, 0 to 100.")
    if calibration < 1:
        raise UsageError(f"--calibration is {calibration}; expected 1 or more images.")
    tuning = Tuning(tune_epochs, tune_lr)
    folder = Path(f"{resolve(bundle)}-int8") if out is None else Path(out)
    if folder.resolve() == read.folder.resolve():
        raise UsageError(f"--out {folder} is the bundle itself; an 8-bit bundle needs a folder of its own.")
    learning = calibration_images(read, data, on_event, images)
    calibrating = learning.some(calibration)
    validation = measuring_images(read, data, on_event, images)
    with tempfile.TemporaryDirectory() as temporary:
        inputs = _array(validation, Path(temporary) / "images.npy")
        data_for_search = SearchData(
            inputs, validation.truth, answers_of(open_float(path), inputs), np.concatenate(list(calibrating.batches()))
        )
        tuned = _tuned(read, learning, tuning, Path(temporary) / "tuned", on_event) if tuning.epochs else None
        found = search(
            path,
            Path(temporary),
            candidates,
            data_for_search,
            max_drop=max_accuracy_drop,
            seconds=seconds,
            on_progress=lambda text: on_event(Note(text)),
            tuned=tuned,
        )
        record = _record(found, len(calibrating), len(validation), max_accuracy_drop, path.stat().st_size)
        if tuned is not None:
            record["tuning"] = {**asdict(tuning), "images": len(learning)}
        if found.chosen is None:
            _refuse(found, folder, record, max_accuracy_drop)
        assert found.chosen is not None
        measured = _baseline(found, inputs, validation)
        written = _write(read, folder, Path(temporary), found.chosen, record, measured)
    return QuantizeResult(written, found.chosen, found, path.stat().st_size, max_accuracy_drop)


def _candidates(method: str) -> list[Settings]:
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    auto = ["onnxruntime", *(["openvino"] if BACKENDS["openvino"].installed else [])]
    return [each for name in (auto if method == "auto" else [method]) for each in CANDIDATES[name]]


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
    on_event(Note(f"Tuning for 8 bits: {steps} steps of {tuning.batch} images"))
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
    write_onnx(Exportable(tuned, bundle.labels, size, bundle.task.postprocessing.get("temperature", 1.0)), folder)
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


def _record(found: Search, calibrated: int, measured: int, max_drop: float, float_bytes: int) -> dict[str, Any]:
    """What the manifest says under `compression`."""
    chosen = found.chosen
    return {
        "quantization": None if chosen is None else {"title": chosen.settings.title, **chosen.settings.to_dict()},
        "candidates": [each.to_dict() for each in found.candidates],
        "failed": found.failed,
        "sensitivities": [asdict(each) for each in found.sensitivities],
        "calibration_images": calibrated,
        "measured_images": measured,
        "max_accuracy_drop": max_drop,
        "float": {"bytes": float_bytes, **asdict(found.float_latency)},
        GOLDEN_TOLERANCE: OTHER_CPU_TOLERANCE,
    }


def _refuse(found: Search, folder: Path, record: dict[str, Any], max_drop: float) -> None:
    report = folder.parent / f"{folder.name}.{REPORT}"
    write_json(report, json_safe(record))
    if not found.candidates:
        reasons = "; ".join(f"{title}: {reason}" for title, reason in found.failed.items())
        raise AgreementError(f"Nothing could be quantized ({reasons}).")
    best = min(found.candidates, key=lambda each: (each.comparison.drop or 0.0, -each.comparison.top1_agreement))
    raise AgreementError(
        f"No bundle was written. The best of {len(found.candidates)} candidates is {best.settings.title}: "
        f"{describe_drop(best.comparison, max_drop)} All figures are in {report}."
    )


def _write(
    bundle: Bundle,
    out: Path,
    folder: Path,
    chosen: Candidate,
    record: dict[str, Any],
    measured: dict[str, Distribution],
) -> Bundle:
    """The 8-bit bundle: its graph, what it answers to the golden images, and the figures."""
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
    files: dict[str, Path | bytes] = {name: folder / name for name in names}
    # Its own answers: they are what another machine has to give as well. First a bundle with none that are meant, to ask it.
    blank = np.zeros((len(images), len(bundle.labels)), np.float32)
    with tempfile.TemporaryDirectory() as temporary:
        draft = write_bundle(
            Path(temporary) / "draft", manifest, files, images, {"logits": blank, "probabilities": blank}
        )
        answers = open_backend(draft).run(images)
        return write_bundle(out, manifest, files, images, answers)
