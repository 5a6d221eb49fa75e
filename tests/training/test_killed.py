"""A real training is killed by SIGKILL, again and again, and ends as one that nobody killed.

benchmarks/killed.py does it to whole runs of every kind, from the pictures to the report.
"""

import multiprocessing
import os
import random
import signal
import sys
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketvision.data.samples import Samples
from pocketvision.models.catalog import build
from pocketvision.models.spec import Architecture, StageRow
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.classification.truth import class_truth
from pocketvision.training.inputs import CachedInputs, ImageViews
from pocketvision.training.learned_tasks import objective_of
from pocketvision.training.phases import Entries, train_phases
from pocketvision.training.settings import CheckpointSettings, OptimizerSettings, PhaseSettings, RegularisationSettings
from pocketvision.training.trunk_cache import TrunkCache
from pocketvision.training.trunk_runtime import compile_trunk, trunk_layouts

CUT, COUNT, TIMES = 1, 40, 20
ROWS = Architecture(
    name="tiny",
    family="test",
    stages=(StageRow(3, 1, 1, 8, 1), StageRow(5, 2, 4, 16, 1)),
    stem_channels=8,
    head_channels=24,
    activation="relu6",
    padding="same",
    norm_epsilon=1e-3,
    input_size=32,
    dropout=0.3,
)


def phase(number: int, epochs: int, unfreeze: int = 0) -> PhaseSettings:
    """With EMA, MixUp, SAM and accumulation, and a checkpoint after every step."""
    return PhaseSettings(
        number,
        epochs,
        5e-3,
        unfreeze=unfreeze,
        batch=8,
        optimizer=OptimizerSettings(sam=0.05, accumulate=2),
        regularisation=RegularisationSettings(mixup=0.4),
        checkpoints=CheckpointSettings(seconds=0, best=1),
    )


def work(folder: Path, begun: Event | None) -> None:
    """Train as far as it comes; the weights are left as a file. begun: set once all is loaded."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = build(ROWS, num_classes=2).eval()
    labels = np.arange(COUNT, dtype=np.int32) % 2
    samples = Samples(folder / "images", [f"{index}.png" for index in range(COUNT)], class_truth(labels, ("a", "b")))
    hashes = np.array([b"%016d" % index for index in range(COUNT)], dtype="V16")
    pixels = Preprocessing(32, 32, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    images = ImageViews(samples, hashes, pixels, "standard", seed=0, workers=1)
    names, size = network.features_read, {"height": 32, "width": 32}
    layouts = trunk_layouts(network, CUT, names, **size)
    trunk, tail = (TrunkCache(folder / "run/cache", fingerprint="tiny", layouts=each) for each in layouts)
    runtime = compile_trunk(network, CUT, names, folder=folder / "trunk", threads=1, **size)
    inputs = CachedInputs(images, trunk, tail, runtime, views=2)
    rows = np.arange(COUNT)
    if begun is not None:
        begun.set()
    train_phases(
        network,
        {CUT: inputs},
        entries=Entries(rows[:32], rows[:32] * 0),
        validation=Entries(rows[32:], rows[32:] * 0),
        phases=[phase(1, 3), phase(2, 4, unfreeze=1)],
        objective=objective_of(samples.truth),
        seed=5,
        name_of=str,
        checkpoints=folder / "run",
    )
    torch.save(network.state_dict(), folder / "weights.pt")


def ended(process: BaseProcess, begun: Event, seconds: float) -> bool:
    """Whether it came to its end before it was killed, `seconds` after it had begun."""
    process.start()
    begun.wait()
    process.join(seconds)
    if process.is_alive() and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), "it went on badly"
    return process.exitcode == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_it_ends_as_the_unbroken_one_whenever_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "images").mkdir()
    generator = np.random.default_rng(0)
    for index in range(COUNT):
        pixels = generator.normal(90 + 70 * (index % 2), 30, (32, 32, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
    (tmp_path / "run").mkdir()
    work(tmp_path, None)
    expected = torch.load(tmp_path / "weights.pt")
    context = multiprocessing.get_context(
        "forkserver"
    )  # each training is forked from a process that has loaded everything
    context.set_forkserver_preload([__name__])
    moments, killed = random.Random(0), 0
    while killed < TIMES:
        for path in sorted((tmp_path / "run").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (tmp_path / "weights.pt").unlink()
        while True:
            begun = context.Event()
            process = context.Process(target=work, args=(tmp_path, begun))
            if ended(process, begun, moments.uniform(0.0, 0.4) if killed < TIMES else 300.0):
                break
            killed += 1
        found = torch.load(tmp_path / "weights.pt")
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert not [*(tmp_path / "run").rglob("*.part")]
