"""From a network to a bundle that answers like it: export, agreement on real images, golden inputs, manifest."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from pocketvision.baseline import Distribution, baseline_of, brightness_of_inputs
from pocketvision.bundle import GOLDEN, Bundle, Manifest, rewrite_bundle, write_bundle
from pocketvision.export.exportable import Exportable
from pocketvision.export.to_onnx import FILE as ONNX_FILE
from pocketvision.export.to_onnx import write_onnx
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.models.rebuild import WEIGHTS_FILE
from pocketvision.models.state_files import rows_as_metadata
from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.runtime.backends import Backend, open_onnx
from pocketvision.runtime.batches import Outputs
from pocketvision.runtime.novelty import FILE as NOVELTY
from pocketvision.tasks.catalog import decoded, task_named
from pocketvision.tasks.manifest import CHOSEN_FOR, SCALING, THRESHOLDS, TaskManifest, by_task, without_novelty
from pocketvision.tasks.task import Agreement, Detail

# Enough images to see a wrong export, few enough that eager PyTorch answers them in some ten seconds.
AGREEMENT_IMAGES = 400
GOLDEN_IMAGES = 4
WRITTEN = (WEIGHTS_FILE, ONNX_FILE, GOLDEN, NOVELTY)
"""The files of a new bundle, the last one where it can be fitted."""
_BATCH = 32
_MOST_BYTES = 256 * 1024 * 1024
"""Of what the heads put out for the images that are compared: fewer are where a head puts out much."""
_MOST_GOLDEN_BYTES = 64 * 1024 * 1024
"""The same of the golden inputs, which lie in the bundle."""

Load = Callable[[int], tuple[NDArray[np.float32], Placement]]
"""A preprocessed image, (3, H, W), and where it lies in that."""

Learned = dict[str, dict[str, NDArray[np.float32]]]
"""What heads learn from, by task and role, a batch first."""

Calibrate = Callable[[Learned, Sequence[int], Sequence[Placement]], Mapping[str, Mapping[str, Any]]]
"""From what the heads put out for images, their indices, and where they lie in their inputs, to the postprocessing of the tasks
that have some."""


@dataclass(frozen=True, eq=False)
class Shipped:
    """A written bundle and how its exported file agrees with the network, by task."""

    bundle: Bundle
    agreement: Mapping[str, Agreement]


def ship(
    network: Network,
    folder: Path,
    *,
    tasks: Mapping[str, TaskManifest],
    preprocessing: Preprocessing,
    load: Load,
    names: Sequence[str],
    calibrate: Calibrate | None = None,
    split: str = "",
    files: Mapping[str, Path | bytes] = MappingProxyType({}),
    origin: Mapping[str, str] = MappingProxyType({}),
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Shipped:
    """Write `network` as a bundle to `folder`, or raise AgreementError and write nothing.

    tasks: what its heads answer. load(i) gives image i of `names`; at most AGREEMENT_IMAGES of them, evenly chosen, are run
    through the network in PyTorch and through the exported file. calibrate: finds postprocessing on the same images; without,
    that of `tasks` stays. split: whose images they are, for the baseline that the file's answers to them are then
    (baseline.py); of images that are nothing like those to come there is none. files: what else lies in the bundle.
    origin: of the weights, where they were taken as they are (Manifest).
    on_progress: called with the images compared and their total.
    """
    network = network.eval()
    tasks = {name: _of_head(task, network.head_specs[name]) for name, task in without_novelty(tasks).items()}
    size = _bytes_of_one(network, load)
    chosen = evenly(len(names), min(max(_MOST_BYTES // size, GOLDEN_IMAGES), AGREEMENT_IMAGES))
    loading = _with_progress(load, 2 * len(chosen), on_progress)
    batches = [(_learned(network, images), places) for images, places in _batches(loading, chosen)]
    learned = _joined([each for each, _ in batches])
    if calibrate is not None:
        found = calibrate(learned, chosen, [place for _, places in batches for place in places])
        tasks = {name: _calibrated(task, found.get(name, {})) for name, task in tasks.items()}
    source = Exportable(network, tasks, preprocessing)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / ONNX_FILE
        write_onnx(source, path.parent)
        asked = _asked(open_onnx(path), loading, chosen, preprocessing)
        measured = _agreement(source, _shipped(source, learned), asked.outputs)
        for each in measured.values():
            each.require(ONNX_FILE, [names[index] for index in chosen])
        kept = evenly(len(chosen), min(max(_MOST_GOLDEN_BYTES // size, 1), GOLDEN_IMAGES))
        golden = np.stack([load(chosen[index])[0] for index in kept])
        weights = safetensors.torch.save(_plain_state(network), rows_as_metadata(network.architecture))
        bundle = write_bundle(
            folder,
            _manifest(source, measured, asked.baseline(tasks, split) if split else {}, origin),
            {WEIGHTS_FILE: weights, ONNX_FILE: path, **files},
            golden,
            _shipped(source, _learned(network, golden)),
        )
    return Shipped(bundle, measured)


def _of_head(task: TaskManifest, spec: HeadSpec) -> TaskManifest:
    """The task with what its head is built from."""
    return replace(task, head=spec.head, features=spec.features)


def _calibrated(task: TaskManifest, found: Mapping[str, Any]) -> TaskManifest:
    """The task with the settings that were found; thresholds that somebody chose stay. A scaling is one, whatever its parts."""
    was = task.postprocessing
    if any(name in found for name in SCALING):
        was = {name: value for name, value in was.items() if name not in SCALING}
    chosen = {THRESHOLDS: was[THRESHOLDS]} if CHOSEN_FOR in was and THRESHOLDS in was else {}
    return replace(task, postprocessing={**was, **found, **chosen})


@dataclass(frozen=True, eq=False)
class _Asked:
    """What the exported file put out for images, where these lie in their inputs, and how bright they are, (n,)."""

    outputs: Outputs
    placements: list[Placement]
    brightness: NDArray[np.float32]

    def baseline(self, tasks: Mapping[str, TaskManifest], split: str) -> dict[str, Distribution]:
        answers = decoded(tasks, self.outputs, self.placements, Detail())
        confidences = {task: [each[task].confidence for each in answers] for task in tasks}
        return baseline_of(confidences, self.brightness, split)


def _asked(backend: Backend, load: Load, chosen: Sequence[int], preprocessing: Preprocessing) -> _Asked:
    outputs: list[Outputs] = []
    placements: list[Placement] = []
    brightness: list[NDArray[np.float32]] = []
    for images, places in _batches(load, chosen):
        outputs.append(backend.run(images))
        placements += places
        brightness.append(brightness_of_inputs(images, preprocessing))
    joined = {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}
    return _Asked(joined, placements, np.concatenate(brightness))


def _agreement(source: Exportable, reference: Outputs, candidate: Outputs) -> dict[str, Agreement]:
    return {
        name: task_named(task.kind).agree(task.tensors(reference), task.tensors(candidate))
        for name, task in source.tasks.items()
    }


def _manifest(
    source: Exportable, measured: Mapping[str, Agreement], images: dict[str, Distribution], origin: Mapping[str, str]
) -> Manifest:
    """Of a new bundle of one ONNX file. images: its baseline."""
    return Manifest(
        architecture=source.network.architecture.to_dict(),
        preprocessing=source.preprocessing,
        tasks=dict(source.tasks),
        graphs=(source.graph_manifest("onnx", (ONNX_FILE,)),),
        agreement={ONNX_FILE: by_task({name: each.to_dict() for name, each in measured.items()})},
        baseline=images,
        origin=dict(origin),
    )


def evenly(total: int, count: int) -> list[int]:
    """At most `count` of the indices below `total`, evenly spread."""
    chosen: list[int] = np.unique(np.linspace(0, total - 1, min(total, count)).astype(int)).tolist()
    return chosen


def _bytes_of_one(network: Network, load: Load) -> int:
    """Of what the heads put out for an image."""
    one = _learned(network, load(0)[0][None])
    return sum(values.nbytes for roles in one.values() for values in roles.values())


@torch.no_grad()
def _learned(network: Network, images: NDArray[np.float32]) -> Learned:
    # Channels last: 32 images/s instead of 18 (EfficientNet-Lite0 at 224 px, one core).
    laid_out = torch.from_numpy(images).to(memory_format=torch.channels_last)
    found = network.on_features(network.features(laid_out, network.features_read))
    return {
        task: {role: np.ascontiguousarray(values.numpy()) for role, values in roles.items()}
        for task, roles in found.items()
    }


def _joined(batches: Sequence[Learned]) -> Learned:
    return {
        task: {role: np.concatenate([each[task][role] for each in batches]) for role in roles}
        for task, roles in batches[0].items()
    }


@torch.no_grad()
def _shipped(source: Exportable, learned: Learned) -> Outputs:
    """What the graph puts out, from what the heads did."""
    tensors = {
        task: {role: torch.from_numpy(values) for role, values in roles.items()} for task, roles in learned.items()
    }
    settings = {name: task.postprocessing for name, task in source.tasks.items()}
    found = source.network.decoded(tensors, settings)
    return {name: found[task][role].numpy() for task, own in source.tasks.items() for role, name in own.outputs.items()}


def _with_progress(load: Load, total: int, on_progress: Callable[[int, int], None]) -> Load:
    """`load`, which tells how many of `total` images it has loaded."""
    done = count(1)

    def loaded(index: int) -> tuple[NDArray[np.float32], Placement]:
        image = load(index)
        on_progress(min(next(done), total), total)
        return image

    return loaded


def with_metrics(
    bundle: Bundle,
    metrics: Mapping[str, dict[str, dict[str, Any]]],
    data_fingerprint: str,
    measured: Mapping[str, Distribution],
) -> Bundle:
    """The same bundle with what was measured, by task and by set of images, written into its manifest; tasks that were measured
    before and not now keep what they have. measured: its baseline."""
    tasks = {
        name: task
        if task.metrics and name not in metrics
        else replace(task, metrics=metrics.get(name, {}), data_fingerprint=data_fingerprint)
        for name, task in bundle.tasks.items()
    }
    return rewrite_bundle(bundle, replace(bundle.manifest, tasks=tasks, baseline=dict(measured)))


def _plain_state(network: Network) -> dict[str, torch.Tensor]:
    """Without the count of batches that norms have seen, which nothing reads: it would tell where a run was broken off."""
    return {
        name: torch.zeros_like(tensor) if name.endswith(".num_batches_tracked") else tensor.contiguous()
        for name, tensor in network.state_dict().items()
    }


def _batches(load: Load, indices: Sequence[int]) -> Iterator[tuple[NDArray[np.float32], list[Placement]]]:
    for start in range(0, len(indices), _BATCH):
        loaded = [load(index) for index in indices[start : start + _BATCH]]
        yield np.stack([image for image, _ in loaded]), [place for _, place in loaded]
