"""Kill real trainings with SIGKILL at random moments, go on with --resume, and compare the weights with an unbroken run's.

    python benchmarks/killed.py --times 20 [--task classes] [--kills 1] [--seed 0]

Each of `--times` trainings of a tiny network on drawn pictures is killed at a moment of its own, spread over the time that an
unbroken one takes (from reading the pictures and filling the trunk cache to the export; the report is left out), and up to
`--kills` times in all; then it goes on to its end. A checkpoint is taken after every step, so that many are killed while one is
saved. With what the task allows of EMA, MixUp, SAM and accumulation. Needs Linux or macOS (processes are forked from one that has
loaded everything). The figure: how many ended with the same weights, bit by bit, and the same history.
"""

import argparse
import contextlib
import csv
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.sharedctypes import SynchronizedString
from pathlib import Path
from typing import Any

SIZE, PICTURES = 64, 30
COLOURS = ("blue", "green", "red")
LOADED = ["torch", "onnxruntime", "onnxscript", "matplotlib.pyplot", "pocketvision.workflows.train"]
TIMED = ("seconds", "images_per_second", "waiting", "peak_memory")

ALL = ("regularisation.mixup=0.4", "optimizer.sam=0.05", "optimizer.accumulate=2")
HEADS = ("phases.1.solver=gradient", "phases.1.epochs=2")
TASKS: dict[str, tuple[str, ...]] = {
    "classes": ("classification", *ALL),  # heads in closed form, then stages on what is cached
    "trained_heads": ("classification", *ALL, *HEADS),
    "uncached": ("classification", *ALL, *HEADS, "cache.enabled=false"),
    "scratch": ("classification", *ALL, *HEADS, "model.weights=none"),
    "tags": ("tags", *ALL),
    "number": ("number", *ALL),
    "boxes": ("detection", *ALL[1:], *HEADS),
    "masks": ("segmentation", *ALL[1:], *HEADS),
    "several": ("", *HEADS, "loss.weights=uncertainty"),
}
"""By name, the kind of the truth (none: classes, tags and boxes at once), and settings."""
SETTINGS = (
    f"data.size={SIZE}",
    "batch=8",
    "cache.views=2",
    "phases.2.unfreeze=1",
    "phases.2.epochs=8",
    "precision=float32",
)


def main() -> None:
    """Print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--task", choices=TASKS, default="classes")
    parser.add_argument("--kills", type=int, default=1, help="at most so many in a training")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(context, Path(folder), given.task, given.times, given.kills, random.Random(given.seed))
    print(json.dumps(found, indent=2))
    sys.exit(found["equal"] != found["trainings"])


def measured(
    context: ForkServerContext, folder: Path, task: str, times: int, kills: int, moments: random.Random
) -> dict[str, Any]:
    kind, *own = TASKS[task]
    sources = write_pictures(folder / "pictures")
    data = write_tasks(folder / "pictures", sources) if not kind else sources[kind]
    settings = [*SETTINGS, *network(folder, folder / "pictures"), *own, "checkpoints.seconds=0"]
    options = {"data": str(data), "task": kind or None, "settings": settings}
    place = context.Array("c", 80)
    taken: list[float] = []
    for name in ("first", "unbroken"):  # the first compiles what the others find compiled
        started = time.perf_counter()
        assert finished(context, folder / name, options, place, None), f"the unbroken training failed: {name}"
        taken.append(time.perf_counter() - started)
    expected = outcome(folder / "unbroken")
    assert outcome(folder / "first") == expected, "two unbroken trainings differ"
    places, equal, killed = Counter[str](), 0, 0
    for trial, part in enumerate(moments.sample(range(times), times)):
        run = folder / f"run{trial}"
        limit = (part + moments.random()) / times * taken[-1]
        for _ in range(kills):
            if finished(context, run, options, place, limit):
                break
            killed += 1
            places[place.value.decode()] += 1
            limit = moments.random() * taken[-1]
        assert finished(context, run, options, place, None), f"the training that went on failed: {run}"
        equal += outcome(run) == expected
        print(f"{equal} of {trial + 1} equal; killed {killed} times: {dict(places)}", file=sys.stderr, flush=True)
        shutil.rmtree(run)
    return {
        "task": task,
        "trainings": times,
        "killed": killed,
        "equal": equal,
        "seconds_unbroken": round(taken[-1], 1),
        "killed_while": dict(places.most_common()),
    }


def finished(
    context: ForkServerContext, run: Path, options: dict[str, Any], place: SynchronizedString, limit: float | None
) -> bool:
    """Begin `run`, or go on with it; kill it after `limit` seconds. Whether it came to its end."""
    resume = (run / "run.json").is_file()
    if not resume:
        shutil.rmtree(run, ignore_errors=True)
    place.value = b"starting"
    process = context.Process(target=train, args=(str(run), options, resume, place))
    process.start()
    process.join(limit)
    if process.is_alive() and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode == 0


def train(run: str, options: dict[str, Any], resume: bool, place: SynchronizedString) -> None:
    """In a process of its own."""
    os.environ["XDG_CACHE_HOME"] = str(Path(run).parent / "cache")
    import torch

    import pocketvision
    from pocketvision.atomic_files import write_text
    from pocketvision.progress import Counted, EpochEnded, EpochRecord, Event, StepProgress
    from pocketvision.training.checkpoint import PhaseCheckpoints
    from pocketvision.training.engine import State
    from pocketvision.training.history import history_text
    from pocketvision.training.run_folder import RunFolder
    from pocketvision.workflows import training_run

    torch.set_num_threads(1)
    write = PhaseCheckpoints.write

    def told(event: Event) -> None:
        if isinstance(event, Counted):
            place.value = {"audit": "reading pictures", "cache": "building the cache"}.get(
                event.step, event.step
            ).encode()
        elif isinstance(event, StepProgress):
            place.value = f"in an epoch of phase {event.stage}".encode()
        elif isinstance(event, EpochEnded):
            place.value = b"between epochs, or at the end"

    def saved(self: PhaseCheckpoints, state: State) -> None:
        before, place.value = place.value, b"saving"
        write(self, state)
        place.value = before

    def reported(run: RunFolder, *further: Any, **_: Any) -> None:
        history: Sequence[EpochRecord] = further[2]
        write_text(run.folder / "history.csv", history_text(history))

    PhaseCheckpoints.write = saved  # type: ignore[method-assign]
    training_run.write_run_report = reported  # type: ignore[assignment]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # noqa: PTH123
        if resume:
            pocketvision.train(resume=run, on_event=told)
        else:
            pocketvision.train(out=run, on_event=told, **options)


def outcome(run: Path) -> tuple[str, list[dict[str, str]]]:
    """The hash of the weights, of the bundle's and of every phase's best, and the history without what clocks say."""
    files = [run / "bundle/model.safetensors", *sorted(run.glob("stage*/best.safetensors"))]
    hashed = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    with (run / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = [{name: value for name, value in row.items() if name not in TIMED} for row in csv.DictReader(file)]
    return hashed, rows


def network(folder: Path, pictures: Path) -> list[str]:
    """Settings of a network of 0.1 M weights, from a random start whose norms know the pictures."""
    import numpy as np
    import safetensors.torch
    import torch

    from pocketvision.atomic_files import write_json
    from pocketvision.models.catalog import build
    from pocketvision.models.spec import Architecture, StageRow
    from pocketvision.preprocessing import Preprocessing

    rows = Architecture(
        name="small",
        family="benchmark",
        stages=(StageRow(3, 1, 1, 16, 1), StageRow(3, 2, 4, 24, 1), StageRow(5, 2, 4, 32, 1), StageRow(3, 2, 4, 64, 1)),
        stem_channels=16,
        head_channels=128,
        activation="relu6",
        padding="same",
        norm_epsilon=1e-3,
        input_size=SIZE,
        dropout=0.2,
    )
    torch.manual_seed(0)
    made = build(rows, num_classes=2)
    pixels = Preprocessing(SIZE, SIZE, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    images = torch.from_numpy(np.stack([pixels(path) for path in sorted(pictures.glob("*.png"))]))
    with torch.no_grad():
        for _ in range(30):
            made.train()(images)
    write_json(folder / "rows.json", rows.to_dict())
    safetensors.torch.save_file(made.state_dict(), folder / "weights.safetensors")
    return [f"model.name={folder / 'rows.json'}", f"model.weights={folder / 'weights.safetensors'}"]


def write_pictures(folder: Path) -> dict[str, Path]:
    """Pictures of a tint with a bright square each, and what is said of them, by kind of task."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    (folder / "masks").mkdir(parents=True)
    rows: dict[str, list[list[object]]] = {name: [] for name in ("classification", "tags", "number", "detection")}
    rows["segmentation"] = []
    for number in range(PICTURES):
        colour, side = number % 3, int(generator.integers(14, 30))
        left, top = (int(each) for each in generator.integers(0, SIZE - side, 2))
        pixels = generator.normal(80, 20, (SIZE, SIZE, 3)) + 60 * np.eye(3)[2 - colour]
        mask = np.zeros((SIZE, SIZE), np.uint8)
        pixels[top : top + side, left : left + side], mask[top : top + side, left : left + side] = 240, 1
        name = f"{number:02}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
        Image.fromarray(mask).save(folder / "masks" / name)
        rows["classification"].append([name, COLOURS[colour]])
        rows["tags"].append([name, f"{COLOURS[colour]};{'large' if side > 20 else 'small'}"])
        rows["number"].append([name, side])
        rows["detection"].append([name, "square", left, top, left + side, top + side])
        rows["segmentation"].append([name, f"masks/{name}"])
    (folder / "classes.txt").write_text("ground\nsquare\n", encoding="utf-8")
    columns = {"classification": ["label"], "tags": ["tags"], "number": ["label"], "segmentation": ["mask"]}
    columns["detection"] = ["label", "x1", "y1", "x2", "y2"]
    found = {}
    for task, own in rows.items():
        found[task] = folder / f"{task}.csv"
        with found[task].open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["path", *columns[task]], *own])
    return found


def write_tasks(folder: Path, sources: dict[str, Path]) -> Path:
    """The file that names classes, tags and boxes as tasks of one network."""
    text = "".join(
        f'[tasks.{task}]\nsource = "{sources[task].name}"\n' for task in ("classification", "tags", "detection")
    )
    (folder / "pocketvision.toml").write_text(text, encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
