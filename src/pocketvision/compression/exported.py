"""An exported file: run where its users will run it, compared with the network, timed."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.atomic_files import write_json
from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.compression.bundle_images import BundleImages
from pocketvision.compression.variant import answered_with, json_safe
from pocketvision.errors import AgreementError, PocketVisionError
from pocketvision.evaluation.latency import Latency, measure_latency
from pocketvision.export.exportable import Answers, Exportable
from pocketvision.export.mapped import MAPPED, map_differences
from pocketvision.export.targets import Target
from pocketvision.preprocessing import Preprocessing, decode
from pocketvision.runtime.batches import Outputs
from pocketvision.runtime.golden_check import GOLDEN_TOLERANCE, OTHER_CPU_TOLERANCE
from pocketvision.runtime.novelty import FILE as NOVELTY
from pocketvision.runtime.novelty import moved
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.comparing import Records, compare_tasks
from pocketvision.tasks.differences import largest_difference
from pocketvision.tasks.manifest import by_task
from pocketvision.tasks.measuring import Comparison
from pocketvision.tasks.task import TOLERANCE, Agreement

REPORT = "export-failed.json"


@dataclass(frozen=True)
class ExportedFile:
    """What was written for a target, how its answers compare with the network's, and how fast it is: both None where this machine
    can not run it. `bytes` of all its files.

    agreement: how far its numbers are from the network's (tasks/task.py), by TASK.NAME where there are several tasks.
    calibration_images: that the ranges of its 8 bits were found on. golden_tolerance: by
    how much its answers to the golden images may differ from the network's on another machine, for a file that differs here; None
    for all else.
    """

    target: str
    files: tuple[str, ...]
    bytes: int
    comparison: Comparison | None
    latency: Latency | None
    agreement: Mapping[str, float] = field(default_factory=dict)
    calibration_images: int | None = None
    golden_tolerance: float | None = None

    @property
    def largest(self) -> float | None:
        """The largest difference of one of its numbers that counts; None where it was not run."""
        named = [value for name, value in self.agreement.items() if re.search(r"(^|\.)max_\w+_difference$", name)]
        return max(named, default=None)

    def figures(self) -> dict[str, float]:
        """What the manifest keeps; of a file that was not run, that no image was measured."""
        if self.comparison is None or self.latency is None:
            return {"images": 0, "bytes": self.bytes}
        latency = {name: round(value, 3) for name, value in asdict(self.latency).items()}
        own = {"calibration_images": self.calibration_images, GOLDEN_TOLERANCE: self.golden_tolerance}
        given = {name: value for name, value in own.items() if value is not None}
        return {**self.agreement, **self.comparison.figures(), **latency, "bytes": self.bytes, **given}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        comparison = None if self.comparison is None else self.comparison.to_dict()
        plain = asdict(replace(self, comparison=None, agreement={}))
        return {**plain, "comparison": comparison, "agreement": dict(self.agreement)}


@dataclass(frozen=True, eq=False)
class Reference:
    """What exported files are compared with: the bundle, its network, the network's outputs for `images` and their records; by
    how many points at most the headline may drop; and the folder that they are for."""

    bundle: Bundle
    source: Exportable
    images: BundleImages
    answers: Outputs
    records: Records
    most_points: float
    out: Path


def exported_file(name: str, target: Target, written: Path, reference: Reference, seconds: float) -> ExportedFile:
    """The file's figures. Raises AgreementError when it may not be shipped."""
    try:
        answers = target.open_answers(written, reference.source)
        found = _all_answers(target, answers, reference.images)
    except (PocketVisionError, OSError):
        raise
    except Exception as error:  # runtimes raise what they please
        raise AgreementError(
            f"{target.files[0]} was written for {name}, and its runtime does not run it: {error}. It was not added."
        ) from error
    tasks, images = reference.bundle.tasks, reference.images
    own = answered_with(tasks, found, images.placements, images.truth)
    comparison = compare_tasks(tasks, reference.records, own.records)
    agreed = {
        name: task_named(task.kind).agree(task.tensors(reference.answers), task.tensors(found))
        for name, task in tasks.items()
    }
    measured = _measured(name, target, written, answers, reference.images, comparison, seconds)
    maps = map_differences(reference.source, reference.answers, found)
    agreement = {**by_task({name: _without_tolerance(each) for name, each in agreed.items()}), **maps}
    measured = replace(measured, agreement=agreement)
    exported = _with_golden_tolerance(measured, target, reference.source, answers, reference.bundle)
    _raise_unless_close(exported, target, reference, agreed.values())
    return exported


def _without_tolerance(found: Agreement) -> dict[str, float]:
    return {name: value for name, value in found.to_dict().items() if name != "tolerance"}


def _measured(
    name: str,
    target: Target,
    folder: Path,
    answers: Answers,
    images: BundleImages,
    comparison: Comparison,
    seconds: float,
) -> ExportedFile:
    example: NDArray[Any] = (
        _pixels(images.files[0], images.preprocessing)[None] if target.takes_pixels else images.load(0)[None]
    )
    timed = _one_by_one(answers) if target.batch == 1 else answers
    latency = measure_latency({name: timed}, example, seconds=seconds)[name]
    return ExportedFile(name, target.files, written_bytes(target, folder), comparison, latency)


def written_bytes(target: Target, folder: Path) -> int:
    return sum((folder / file).stat().st_size for file in target.files)


def _with_golden_tolerance(
    exported: ExportedFile, target: Target, source: Exportable, answers: Answers, bundle: Bundle
) -> ExportedFile:
    """What a file that may differ is allowed on the golden images, whose answers are the network's: what it differs by here, and
    what another machine's rounding adds."""
    if target.lossless or target.takes_pixels or not target.is_graph:
        return exported
    golden = bundle.golden()
    here = largest_difference(bundle.tasks, golden, answers(golden["images"]))
    if not target.calibrated or source.calibration is None:
        return replace(exported, golden_tolerance=here + TOLERANCE)
    return replace(exported, calibration_images=len(source.calibration), golden_tolerance=here + OTHER_CPU_TOLERANCE)


def _all_answers(target: Target, answers: Answers, images: BundleImages) -> Outputs:
    if not target.takes_pixels:
        return images.answers(answers)
    found = [answers(_pixels(file, images.preprocessing)[None]) for file in images.files]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def _one_by_one(answers: Answers) -> Callable[[NDArray[Any]], object]:
    return lambda images: [answers(image[None]) for image in images]


def _pixels(file: Path, preprocessing: Preprocessing) -> NDArray[Any]:
    """The whole image as any other decoder gives it, (height, width, 3) uint8: not reduced while decoding, as ours is."""
    return np.asarray(decode(file, white_level=preprocessing.white_level))


def _raise_unless_close(
    exported: ExportedFile, target: Target, reference: Reference, agreed: Iterable[Agreement]
) -> None:
    """Raise AgreementError, the figures left beside the bundle, when the file may not be shipped."""
    try:
        if target.lossless:
            files = [str(file) for file in reference.images.files]
            for each in agreed:
                each.require(exported.files[0], files)
        elif exported.comparison is not None and not exported.comparison.within(reference.most_points):
            raise AgreementError(f"{exported.files[0]}: {exported.comparison.explain(reference.most_points)}")
    except AgreementError as error:
        report = reference.out.parent / f"{reference.out.name}.{REPORT}"
        write_json(report, json_safe({**exported.to_dict(), "error": str(error)}))
        raise AgreementError(f"{error} What was measured is in {report}; the bundle is as it was.") from None


def with_exported(
    bundle: Bundle,
    source: Exportable,
    targets: dict[str, Target],
    exported: list[ExportedFile],
    folder: Path,
    out: Path,
) -> Bundle:
    """The bundle with the files, their graphs and figures."""
    files = {file: folder / name / file for name, target in targets.items() for file in target.files}
    graphs = [graph for graph in bundle.manifest.graphs if not set(graph.files) & set(files)]
    for name, target in targets.items():
        if target.is_graph and not target.takes_pixels:
            batch, free = target.batch or "batch", target.free_size
            own = source if name == MAPPED else replace(source, mapped=())
            graphs.append(own.graph_manifest(name, target.files, batch=batch, free_size=free))
        elif target.is_graph:
            graphs.append(source.pixel_graph_manifest(name, target.files))
    figures = {each.files[0]: each.figures() for each in exported}
    manifest = replace(
        bundle.manifest,
        graphs=tuple(graphs),
        agreement={**bundle.manifest.agreement, **figures},
        commands={**bundle.manifest.commands, **_commands(source, files)},
    )
    more: dict[str, bytes] = {}
    if (
        "model.onnx" in files and NOVELTY in bundle.manifest.files
    ):  # of the same network, whose graph has other names now
        more[NOVELTY] = moved(bundle, files["model.onnx"].read_bytes()).content()
    return rewrite_bundle(bundle, manifest, {**files, **more}, folder=out)


def _commands(source: Exportable, files: dict[str, Path]) -> dict[str, str]:
    """How other tools take the files on."""
    if "model.onnx" not in files:
        return {}
    size = source.preprocessing
    shapes = " ".join(
        f"--{name}Shapes=images:{batch}x3x{size.height}x{size.width}"
        for name, batch in (("min", 1), ("opt", 8), ("max", 32))
    )
    return {"tensorrt": f"trtexec --onnx=model.onnx {shapes} --fp16 --saveEngine=model.engine"}
