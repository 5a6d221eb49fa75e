"""A small training that one process or several do alike. As a script it is one of them: its figures go into a file."""

import copy
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden_pictures import FORMAT1
from numpy.typing import NDArray
from PIL import Image

from pocketvision.data.fingerprints import content_hash
from pocketvision.data.samples import Samples
from pocketvision.models.catalog import architecture, build
from pocketvision.models.network import Network
from pocketvision.preprocessing import Preprocessing, decode
from pocketvision.tasks.classification.truth import class_truth
from pocketvision.training.inputs import CachedInputs, ImageViews, Inputs, PlainInputs
from pocketvision.training.learned_tasks import objective_of
from pocketvision.training.phase_models import WHOLE
from pocketvision.training.phases import Entries, train_phases
from pocketvision.training.processes import ALONE, Processes, joined
from pocketvision.training.settings import OptimizerSettings, PhaseSettings, RegularisationSettings
from pocketvision.training.shared_inputs import fill_shared
from pocketvision.training.trunk_cache import TrunkCache
from pocketvision.training.trunk_runtime import RUNTIME_BATCH, trunk_layouts

CUT = 1
CACHED = [PhaseSettings(1, 1, 1e-2, batch=7), PhaseSettings(2, 2, 2e-3, unfreeze=2, batch=7)]
SCRATCH = [PhaseSettings(1, 2, 2e-3, batch=8)]
MIXED = [
    PhaseSettings(
        1,
        1,
        2e-3,
        batch=9,
        optimizer=OptimizerSettings(accumulate=2, sam=0.05, clip=1.0),
        regularisation=RegularisationSettings(mixup=0.4),
    )
]
"""Batches of 9 rows in two parts, and one of a single row that joins another: shares differ, and some are empty."""


def write_images(folder: Path) -> None:
    """37 of three colours."""
    generator = np.random.default_rng(0)
    for index in range(37):
        level = np.full(3, 60.0)
        level[index % 3] = 190
        pixels = generator.normal(level, 50, (40, 44, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")


def _images(folder: Path) -> ImageViews:
    paths = [f"{index}.png" for index in range(37)]
    samples = Samples(folder, paths, class_truth(np.arange(37, dtype=np.int32) % 3, ("red", "green", "blue")))
    hashes = np.array([content_hash(decode(folder / path)) for path in paths], dtype="V16")
    preprocessing = Preprocessing(32, 32, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return ImageViews(samples, hashes, preprocessing, "standard", seed=0, workers=1)


def _network() -> Network:
    torch.manual_seed(0)
    network = build(architecture(str(FORMAT1 / "tiny.json")), num_classes=3).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and module.running_var is not None:
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


class EagerTrunk:
    """As trunk_runtime.TrunkRuntime, without an export: every batch has as many rows."""

    same = ()

    def __init__(self, network: Network) -> None:
        self._network, self._names = network, network.features_read

    @torch.no_grad()
    def trunk(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        whole = np.zeros((RUNTIME_BATCH, *images.shape[1:]), np.float32)
        whole[: len(images)] = images
        kept = self._network.eval().below(torch.from_numpy(whole), CUT, [])
        return {name: values.numpy()[: len(images)] for name, values in kept.items()}

    @torch.no_grad()
    def tail(self, activations: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        kept = {"cut": torch.from_numpy(np.asarray(activations, np.float32))}
        made = self._network.eval().above(kept, CUT, self._names, size=(32, 32))
        return {name: values.numpy() for name, values in made.items()}


def _cached(network: Network, images: ImageViews, folder: Path) -> tuple[CachedInputs, TrunkCache]:
    names = network.features_read
    layouts = trunk_layouts(network, CUT, names, height=32, width=32)
    trunk, tail = (TrunkCache(folder, fingerprint="tiny", layouts=each) for each in layouts)
    runtime = EagerTrunk(copy.deepcopy(network))
    return CachedInputs(images, trunk, tail, runtime, views=2), trunk  # type: ignore[arg-type]


def _trained(
    network: Network, inputs: Inputs, images: ImageViews, phases: list[PhaseSettings], processes: Processes, run: Path
) -> dict[str, Any]:
    """Losses and weights."""

    def entries(start: int, stop: int) -> Entries:
        return Entries(np.arange(start, stop), np.zeros(stop - start, np.int64))

    from_scratch = phases is not CACHED
    result = train_phases(
        network,
        dict.fromkeys((WHOLE, CUT), inputs),
        entries=entries(0, 28),
        validation=entries(28, 37),
        phases=phases,
        objective=objective_of(images.samples.truth),
        seed=5,
        from_scratch=from_scratch,
        name_of=str,
        checkpoints=run,
        processes=processes,
    )
    losses = [value for each in result.history for value in (each.train_loss, each.val_loss, each.train_accuracy)]
    weights = torch.cat([each.reshape(-1).double() for each in network.state_dict().values()])
    return {
        "losses": losses,
        "weights": weights.tolist(),
        "same": hashlib.sha256(weights.numpy().tobytes()).hexdigest(),
    }


def gone_on(images_folder: Path, run: Path, epochs: int) -> list[float]:
    """The losses of a run from scratch that has more epochs now, by one process."""
    images, network = _images(images_folder), _network()
    phases = [replace(each, epochs=epochs) for each in SCRATCH]
    losses: list[float] = _trained(network, PlainInputs(images, network, 0), images, phases, ALONE, run)["losses"]
    return losses


def job(images_folder: Path, folder: Path, processes: Processes) -> dict[str, Any]:
    """Both ways of feeding, and the rows of the trunk cache by key."""
    torch.set_num_threads(1)
    images, found = _images(images_folder), {}
    network = _network()
    inputs, cache = _cached(network, images, folder / "cache")
    rows = [(image, view) for image in range(37) for view in (0, 1)]
    fill_shared(inputs, network.features_read, rows, processes)
    assert processes == ALONE or not inputs.missing(network.features_read, rows)
    inputs.fill(network.features_read, rows)
    segments = len([*cache.folder.glob("*.segment")])
    found["cached"] = _trained(network, inputs, images, CACHED, processes, folder / "run")
    cached = {key.hex(): hashlib.sha256(cache.read([key], cache.names[0]).tobytes()).hexdigest() for key in cache.keys}
    for name, phases in (("scratch", SCRATCH), ("mixed", MIXED)):
        network = _network()
        found[name] = _trained(network, PlainInputs(images, network, 0), images, phases, processes, folder / name)
    return found | {"rows": cached, "segments": segments}


if __name__ == "__main__":
    images_folder, folder, out = map(Path, sys.argv[1:])
    with joined() as all_of_them:
        found = job(images_folder, folder, all_of_them)
    (out / f"{all_of_them.rank}.json").write_text(json.dumps(found), encoding="utf-8")
