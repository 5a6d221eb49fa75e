"""export: a bundle's network for further runtimes, each file run on real images before it is let into the bundle."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.baseline import Distribution, baseline_of, brightness_of_inputs
from pocketvision.bundle import Bundle, require_place
from pocketvision.compression.budget import check_points
from pocketvision.compression.bundle_images import BundleImages, calibration_images, measuring_images
from pocketvision.compression.exported import ExportedFile, Reference, exported_file, with_exported, written_bytes
from pocketvision.compression.settings import CALIBRATION, MAX_ACCURACY_DROP
from pocketvision.compression.variant import answered_with
from pocketvision.errors import UsageError
from pocketvision.export.exportable import Exportable
from pocketvision.export.mapped import MAPPED, with_maps
from pocketvision.export.targets import Target, target_named
from pocketvision.models.rebuild import rebuilt
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.tasks.comparing import Answered
from pocketvision.workflows.pretrained import open_bundle

# The reference is PyTorch's eager network, some 30 images a second.
IMAGES = 400


@dataclass(frozen=True)
class ExportResult:
    """The bundle with the new files in it."""

    bundle: Bundle
    exported: tuple[ExportedFile, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"bundle": str(self.bundle.folder), "exported": [each.to_dict() for each in self.exported]}


def export(
    bundle: str | Path,
    to: Sequence[str],
    *,
    data: str | Path | None = None,
    images: str | Path | None = None,
    out: str | Path | None = None,
    max_accuracy_drop: float = MAX_ACCURACY_DROP,
    with_map: bool = False,
    seconds: float = 1.0,
    on_event: OnEvent = silent,
) -> ExportResult:
    """Add the files of the targets `to` (see TARGETS) to a bundle (or a pre-trained network by name), or to a copy at `out`.

    Every file is run, by the runtime it is for, on up to IMAGES images of the validation split of `data` (None: of the run the
    bundle lies in) against the network in PyTorch. A lossless target has to give its probabilities to within 0.001; of the others
    the accuracy may drop by at most `max_accuracy_drop` points. The comparison, with latency (for `seconds` a figure), goes into
    the manifest. A target in 8 bits finds its ranges on CALIBRATION images of the training split of the same data. A file that
    only another system runs (Core ML's) is added unmeasured, with a note.

    with_map: model.onnx says where each class is seen too, of tasks whose heads are linear on pooled features
    (models/class_map.py); UsageError where no task's is, or `to` does not name onnx.

    Raises AgreementError when a file answers otherwise: no file is added, and its figures are written beside the bundle. Raises
    UsageError, BundleError, MissingExtraError.
    """
    if not to:
        raise UsageError("Say what to export to: --to onnx,openvino …")
    check_points(max_accuracy_drop)
    targets = {name: target_named(name) for name in dict.fromkeys(to)}
    _refuse_shared_files(targets)
    read = open_bundle(bundle)
    if out is None and not Path(bundle).exists():
        raise UsageError(
            f"{bundle} is the name of a pre-trained network: say where its bundle shall go with --out FOLDER."
        )
    folder = read.folder if out is None else Path(out)
    require_place(folder)
    source = Exportable(rebuilt(read), read.tasks, read.preprocessing)
    if any(target.calibrated for target in targets.values()):
        calibrating = calibration_images(read, data, on_event, images, most=CALIBRATION)
        source = replace(source, calibration=np.concatenate(list(calibrating.batches())))
    mapped, unmapped = with_maps(source, targets) if with_map else (source, [])
    for why in unmapped:
        on_event(Note(why))
    measured_on = measuring_images(read, data, on_event, images, most=IMAGES)
    with tempfile.TemporaryDirectory() as temporary:
        outputs = measured_on.answers(mapped.answers())
        network = answered_with(read.tasks, outputs, measured_on.placements, measured_on.truth)
        reference = Reference(read, mapped, measured_on, outputs, network.records, max_accuracy_drop, folder)
        exported = []
        for name, target in targets.items():
            on_event(Note(f"Exporting to {name}"))
            written = Path(temporary) / name
            written.mkdir()
            target.write(mapped if name == MAPPED else source, written)
            if target.runs_here:
                exported.append(exported_file(name, target, written, reference, seconds))
            else:
                on_event(
                    Note(f"{target.files[0]} was not run: only {target.system} runs it. Compare its answers there.")
                )
                exported.append(ExportedFile(name, target.files, written_bytes(target, written), None, None))
        read = replace(read, manifest=replace(read.manifest, baseline=_baseline(read, measured_on, network)))
        return ExportResult(with_exported(read, mapped, targets, exported, Path(temporary), folder), tuple(exported))


def _baseline(bundle: Bundle, images: BundleImages, network: Answered) -> dict[str, Distribution]:
    """The bundle's own, whose network is what it was; one that has none gets that of the images it was run on, if they were its
    data's and not embedded pictures."""
    if bundle.manifest.baseline or not images.truth:
        return bundle.manifest.baseline
    brightness = np.concatenate([brightness_of_inputs(batch, bundle.preprocessing) for batch in images.batches()])
    return baseline_of(network.confidences, brightness, "val")


def _refuse_shared_files(targets: dict[str, Target]) -> None:
    """openvino and openvino-fp16 would write the same file, with one of them lost."""
    seen: dict[str, str] = {}
    for name, target in targets.items():
        for file in target.files:
            if target.is_graph and file in seen:
                raise UsageError(
                    f"{seen[file]} and {name} both write {file}. Export to one of them, or to two folders (--out)."
                )
            seen[file] = name
