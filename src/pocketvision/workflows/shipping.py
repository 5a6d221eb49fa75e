"""From a network to a bundle that answers like it: export, agreement on real images, golden inputs, manifest."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from pocketvision.baseline import Distribution, baseline, brightness_of_inputs
from pocketvision.bundle import GOLDEN, Bundle, Manifest, TaskManifest, rewrite_bundle, write_bundle
from pocketvision.export.agreement import Agreement, agreement
from pocketvision.export.exportable import Exportable
from pocketvision.export.to_onnx import FILE as ONNX_FILE
from pocketvision.export.to_onnx import write_onnx
from pocketvision.models.network import Network
from pocketvision.models.rebuild import WEIGHTS_FILE
from pocketvision.models.state_files import rows_as_metadata
from pocketvision.postprocessing.classification import softmax
from pocketvision.postprocessing.temperature import fit_temperature
from pocketvision.preprocessing import Preprocessing
from pocketvision.runtime.backends import Backend, open_onnx

# Enough images to see a wrong export, few enough that eager PyTorch answers them in some ten seconds.
AGREEMENT_IMAGES = 400
GOLDEN_IMAGES = 4
WRITTEN = (WEIGHTS_FILE, ONNX_FILE, GOLDEN)
"""The files of every new bundle."""
_BATCH = 32

LoadImage = Callable[[int], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Shipped:
    """A written bundle and how its exported file agrees with the network."""

    bundle: Bundle
    agreement: Agreement
    temperature: float


def ship(
    network: Network,
    folder: Path,
    *,
    labels: Sequence[str],
    preprocessing: Preprocessing,
    load: LoadImage,
    names: Sequence[str],
    truth: NDArray[np.int64] | None = None,
    split: str = "",
    files: Mapping[str, Path | bytes] = MappingProxyType({}),
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Shipped:
    """Write `network` as a bundle to `folder`, or raise AgreementError and write nothing.

    load(i) gives preprocessed image i of `names`, (3, H, W); at most AGREEMENT_IMAGES of them, evenly chosen, are run through
    the network in PyTorch and through the exported file. With their labels `truth` the temperature is fitted on the same
    images; without, it is 1. split: whose images they are, for the baseline that the file's answers to them are then
    (baseline.py); of images that are nothing like those to come there is none. files: what else lies in the bundle.
    on_progress: called with the images compared and their total.
    """
    network = network.eval()
    chosen = np.unique(np.linspace(0, len(names) - 1, min(len(names), AGREEMENT_IMAGES)).astype(int)).tolist()
    loading = _with_progress(load, 2 * len(chosen), on_progress)
    logits = np.concatenate([_torch_logits(network, batch) for batch in _batches(loading, chosen)])
    temperature = 1.0 if truth is None else fit_temperature(logits, truth[chosen])
    source = Exportable(network, tuple(labels), preprocessing, temperature)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / ONNX_FILE
        write_onnx(source, path.parent)
        answers, brightness = _answered(open_onnx(path), _batches(loading, chosen), preprocessing)
        measured = agreement(softmax(logits, temperature), answers)
        measured.require(ONNX_FILE, [names[index] for index in chosen])
        golden = np.stack([load(index) for index in chosen[:: max(1, len(chosen) // GOLDEN_IMAGES)][:GOLDEN_IMAGES]])
        golden_logits = _torch_logits(network, golden)
        weights = safetensors.torch.save(_plain_state(network), rows_as_metadata(network.architecture))
        bundle = write_bundle(
            folder,
            _manifest(source, measured, baseline(answers.max(axis=1), brightness, split) if split else {}),
            {WEIGHTS_FILE: weights, ONNX_FILE: path, **files},
            golden,
            {"logits": golden_logits, "probabilities": softmax(golden_logits, temperature)},
        )
    return Shipped(bundle, measured, temperature)


def _answered(
    backend: Backend, batches: Iterable[NDArray[np.float32]], preprocessing: Preprocessing
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The probabilities (n, classes) that the exported file gives, and the images' brightness (n,)."""
    asked = [(backend.run(each)["probabilities"], brightness_of_inputs(each, preprocessing)) for each in batches]
    answers, brightness = (np.concatenate(parts) for parts in zip(*asked, strict=True))
    return answers, brightness


def _manifest(source: Exportable, measured: Agreement, images: dict[str, Distribution]) -> Manifest:
    """Of a new bundle of one ONNX file. images: its baseline."""
    task = TaskManifest(
        kind="classification",
        labels=source.labels,
        outputs=("logits", "probabilities"),
        postprocessing={"temperature": source.temperature},
    )
    return Manifest(
        architecture=source.network.architecture.to_dict(),
        preprocessing=source.preprocessing,
        tasks={"classification": task},
        graphs=(source.graph_manifest("onnx", (ONNX_FILE,)),),
        agreement={ONNX_FILE: measured.to_dict()},
        baseline=images,
    )


def _with_progress(load: LoadImage, total: int, on_progress: Callable[[int, int], None]) -> LoadImage:
    """`load`, which tells how many of `total` images it has loaded."""
    done = count(1)

    def loaded(index: int) -> NDArray[np.float32]:
        image = load(index)
        on_progress(min(next(done), total), total)
        return image

    return loaded


def with_metrics(
    bundle: Bundle, metrics: Mapping[str, dict[str, Any]], data_fingerprint: str, measured: Mapping[str, Distribution]
) -> Bundle:
    """The same bundle with what was measured, by set of images, written into its manifest. measured: its baseline."""
    task = replace(bundle.task, metrics=dict(metrics), data_fingerprint=data_fingerprint)
    tasks = {**bundle.manifest.tasks, "classification": task}
    return rewrite_bundle(bundle, replace(bundle.manifest, tasks=tasks, baseline=dict(measured)))


def _plain_state(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}


def _batches(load: LoadImage, indices: Sequence[int]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(indices), _BATCH):
        yield np.stack([load(index) for index in indices[start : start + _BATCH]])


@torch.no_grad()
def _torch_logits(network: Network, images: NDArray[np.float32]) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = network(torch.from_numpy(images)).numpy()
    return logits
