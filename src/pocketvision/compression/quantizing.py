"""What the search for 8 bits is given of a bundle, and the bundle that is written of its choice."""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pocketvision.atomic_files import write_json
from pocketvision.baseline import Distribution, baseline_of, brightness_of_inputs
from pocketvision.bundle import Bundle, write_bundle
from pocketvision.compression.bundle_images import BundleImages
from pocketvision.compression.candidate import Candidate
from pocketvision.compression.quantize_aware import tune_for_8_bits
from pocketvision.compression.search import Search, SearchData, open_float
from pocketvision.compression.settings import Tuning
from pocketvision.compression.tuning import batches_of, labelled, report_tuning_step
from pocketvision.compression.variant import json_safe
from pocketvision.errors import AgreementError, UsageError
from pocketvision.export.exportable import Exportable
from pocketvision.export.to_onnx import FILE, write_onnx
from pocketvision.models.network import fold_norms
from pocketvision.models.rebuild import rebuilt
from pocketvision.preprocessing import Placement
from pocketvision.printable import counted
from pocketvision.progress import Note, OnEvent
from pocketvision.runtime.backends import open_backend
from pocketvision.runtime.batches import no_answers
from pocketvision.runtime.golden_check import GOLDEN_TOLERANCE, OTHER_CPU_TOLERANCE
from pocketvision.runtime.novelty import FILE as NOVELTY
from pocketvision.runtime.novelty import Novelty, moved
from pocketvision.tasks.manifest import without_novelty
from pocketvision.training.learned_tasks import objective_of
from pocketvision.training.tuning import TuneSettings

REPORT = "quantization-failed.json"


def search_data(bundle: Bundle, calibrating: BundleImages, validation: BundleImages, file: Path) -> SearchData:
    """What candidates are compared on and calibrated with. file: for the images that are compared."""
    images, placements = _array(validation, file)
    calibration = np.concatenate(list(calibrating.batches()))
    data = SearchData(bundle.tasks, images, placements, validation.truth, {}, calibration)
    return replace(data, reference=data.answered(open_float(float_file(bundle))).records)


def float_file(bundle: Bundle) -> Path:
    if "quantization" in bundle.manifest.compression:
        raise UsageError(f"{bundle.folder} is quantized already. Take the bundle that it was made from.")
    if "model.onnx" not in bundle.manifest.files:
        raise UsageError(
            f"{bundle.folder} holds no model.onnx to quantize; add it: pocketvision export {bundle.folder} --to onnx"
        )
    return bundle.path("model.onnx")


def tuned_file(bundle: Bundle, learning: BundleImages, tuning: Tuning, folder: Path, on_event: OnEvent) -> Path:
    """The ONNX file, in `folder`, of the network tuned for 8 bits on `learning`."""
    size, learning = bundle.preprocessing, labelled(learning)
    objective = objective_of(learning.truth)
    steps = max(1, round(tuning.epochs * len(learning) / tuning.batch))
    on_event(Note(f"Tuning for 8 bits: {counted(steps, 'step')} of {counted(tuning.batch, 'image')}"))
    batches = batches_of(learning, objective, size, batch=tuning.batch, seed=tuning.seed, augmentation="light")
    network = rebuilt(bundle)
    # Taught by the network as it is and in light views, EfficientNet-Lite0 on Fashion-MNIST lost 0.01 points in 8 bits after
    # 5,000 images (0.51 untuned); by labels alone in standard views 2.24.
    tuned = tune_for_8_bits(
        network,
        batches,
        TuneSettings(steps, tuning.lr),
        objective=objective,
        size=(size.height, size.width),
        teacher=fold_norms(network).to(memory_format=torch.channels_last),
        on_step=lambda step: report_tuning_step(on_event, step, steps),
    )
    folder.mkdir()
    write_onnx(Exportable(tuned, bundle.tasks, size), folder)
    return folder / FILE


def _array(images: BundleImages, file: Path) -> tuple[NDArray[np.float32], list[Placement]]:
    """All of them, in a file that the system keeps in memory as far as it fits, and where each lies in its input."""
    size = images.preprocessing
    array = np.lib.format.open_memmap(
        file, mode="w+", dtype=np.float32, shape=(len(images), 3, size.height, size.width)
    )
    placements: list[Placement] = []
    for batch, placed in images.placed_batches():
        array[len(placements) : len(placements) + len(batch)] = batch
        placements += placed
    return array, placements


def baseline_of_search(found: Search, images: NDArray[np.float32], validation: BundleImages) -> dict[str, Distribution]:
    """Anew: 8 bits are not as sure of their answers as the float network was."""
    if found.answered is None:
        return {}
    starts = range(0, len(images), 32)
    brightness = [brightness_of_inputs(images[start : start + 32], validation.preprocessing) for start in starts]
    return baseline_of(found.answered.confidences, np.concatenate(brightness), "val")


def record_of(found: Search, data: SearchData, max_drop: float, float_bytes: int) -> dict[str, Any]:
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


def refusal(found: Search, folder: Path, record: dict[str, Any], max_drop: float, method: str) -> AgreementError:
    """Why no bundle is written; the figures are left beside it."""
    report = folder.parent / f"{folder.name}.{REPORT}"
    write_json(report, json_safe(record))
    if not found.candidates:
        reasons = "; ".join(f"{title}: {reason}" for title, reason in found.failed.items())
        return AgreementError(f"Nothing could be quantized ({reasons}).")
    best = max(found.candidates, key=lambda each: each.comparison.closeness)
    more = " OpenVINO's candidates were not tried: --method all." if method in ("auto", "onnxruntime") else ""
    return AgreementError(
        f"No bundle was written. The best of {counted(len(found.candidates), 'candidate')} is {best.settings.title}: "
        f"{best.comparison.explain(max_drop)} All figures are in {report}.{more}"
    )


def write_quantized(
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
    novelty = None if openvino else _novelty_in_8_bits(bundle, folder / "model.onnx")
    if novelty is None:
        manifest = replace(manifest, tasks=without_novelty(manifest.tasks))
    else:
        files[NOVELTY] = novelty.content()
    # Its own answers: they are what another machine has to give as well. First a bundle with none that are meant, to ask it.
    blank = no_answers(bundle.output_shapes("model.onnx"), len(images))
    with tempfile.TemporaryDirectory() as temporary:
        draft = write_bundle(Path(temporary) / "draft", manifest, files, images, blank)
        answers = open_backend(draft).run(images)
        return write_bundle(out, manifest, files, images, answers)


def _novelty_in_8_bits(bundle: Bundle, graph: Path) -> Novelty | None:
    """None where the bundle keeps none, or the graph's last layer is no matrix product of features any more."""
    if NOVELTY not in bundle.manifest.files:
        return None
    try:
        return moved(bundle, graph.read_bytes())
    except UsageError:
        return None
