"""How fast a folder of 640 x 480 JPEGs is classified, beside ONNX Runtime on ready tensors and two peers.

    python benchmarks/predict_speed.py                               # EfficientNet-Lite0, 2 to 5 minutes
    python benchmarks/predict_speed.py --weights none --model efficientnet_b0 --json out.json

The pictures are crops of three real photographs that come with scikit-learn (china, flower) and matplotlib (grace_hopper),
each cut and mirrored at random, resized to 640 x 480 and saved with quality 85. All columns use the same network, the same
files and the same cores, one after the other in rounds; a round's order is turned by one each time.

Columns, images a second (median over rounds):
- `pocketvision`: Predictor.stream over the files, as `pocketvision predict` runs it;
- `onnxruntime …`: the bundle's ONNX file on tensors that are ready in memory, once as one session on all cores and once as
  one-thread runs from as many threads as there are cores, at several batch sizes; the best of them is the yardstick;
- `torch + torchvision …`: eager PyTorch on a DataLoader (Pillow, Resize, CenterCrop, ToTensor, Normalize), batch 32, with
  loader processes and without;
- `transformers pipeline`: Hugging Face's image-classification pipeline with timm's same network, where both are installed.

`share_of_onnxruntime`: ours / a ready-tensor column, median over rounds, once with the best column of ONNX Runtime's own
threading (one session; the bar is 0.8) and once with the best column of all. `cpu_ms`: CPU milliseconds an image of this
process (loader processes apart): of use where other programs disturb the clock. Of fresh processes, CPU seconds from their
start and peak resident memory: `import` of the package and `--help` (bar 0.3), `first_answer` for one image (bar 1.5), and
`folder` for all of them.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image

from pocketvision.bundle import Bundle
from pocketvision.export.shipping import ship
from pocketvision.models.network import Network
from pocketvision.models.weights import load_pretrained
from pocketvision.preprocessing import Interpolation, Preprocessing
from pocketvision.runtime.backends import open_backend, usable_cores
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.classification.task import classifying
from pocketvision.training.data_settings import DataSettings

Column = Callable[[list[Path]], object]
BARS = {"share_of_onnxruntime, of its own threading": 0.8, "first_answer cpu_seconds": 1.5, "help cpu_seconds": 0.3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--weights", default="auto", help="where the weights come from; `none` for random ones")
    parser.add_argument(
        "--interpolation",
        choices=get_args(Interpolation),
        default=DataSettings.interpolation,
        help="default: as `train` ships",
    )
    parser.add_argument("--images", type=int, default=96, help="images a column and round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", type=Path, help="write the result here too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        paths = make_pictures(Path(temporary) / "pictures", arguments.images)
        network, bundle = make_bundle(
            Path(temporary) / "bundle", arguments.model, arguments.weights, arguments.interpolation, paths
        )
        columns = {"pocketvision": ours(bundle), **ready_tensors(bundle, paths)}
        skipped: list[str] = []
        if arguments.peers:
            columns |= torch_columns(network, bundle.preprocessing)
            columns |= pipeline_column(arguments.model, arguments.interpolation, skipped)
        report = {
            "model": arguments.model,
            "interpolation": arguments.interpolation,
            "cores": usable_cores(),
            "images": arguments.images,
            "bytes_an_image": round(statistics.mean(path.stat().st_size for path in paths)),
            "bars": BARS,
            **measure(columns, paths, arguments.rounds),
            "skipped": skipped,
            "import": in_a_process(IMPORT),
            "help": in_a_process(COMMAND, "--help"),
            "first_answer": in_a_process(COMMAND, "predict", bundle.folder, paths[0]),
            "folder": in_a_process(COMMAND, "predict", bundle.folder, paths[0].parent),
        }
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


def make_pictures(folder: Path, count: int) -> list[Path]:
    """`count` different 640 x 480 JPEGs cut from three photographs."""
    import matplotlib.cbook
    from sklearn.datasets import load_sample_image

    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        hopper = Image.open(file).convert("RGB")
    photographs = [*(Image.fromarray(load_sample_image(f"{name}.jpg")) for name in ("china", "flower")), hopper]
    folder.mkdir()
    dice = random.Random(0)
    paths = []
    for index in range(count):
        photograph = photographs[index % len(photographs)]
        largest = min(photograph.width / 640, photograph.height / 480)
        scale = largest * dice.uniform(0.8, 1)
        width, height = round(640 * scale), round(480 * scale)
        left, top = dice.randint(0, photograph.width - width), dice.randint(0, photograph.height - height)
        picture = photograph.crop((left, top, left + width, top + height)).resize((640, 480), Image.Resampling.LANCZOS)
        if dice.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        paths.append(folder / f"{index:05d}.jpg")
        picture.save(paths[-1], quality=85)
    return paths


def make_bundle(
    folder: Path, model: str, weights: str, interpolation: Interpolation, paths: list[Path]
) -> tuple[Network, Bundle]:
    pretrained = load_pretrained(model, weights)
    preprocessing = replace(pretrained.preprocessing, interpolation=interpolation)
    labels = pretrained.labels or [f"class {index}" for index in range(1000)]
    shipped = ship(
        pretrained.network,
        folder,
        tasks=classifying(labels),
        preprocessing=preprocessing,
        load=lambda index: preprocessing.place(paths[index]),
        names=[path.name for path in paths[:32]],
    )
    return pretrained.network.eval(), shipped.bundle


def ours(bundle: Bundle) -> Column:
    predictor = Predictor(bundle)

    def run(paths: list[Path]) -> None:
        assert all(row.prediction is not None for row in predictor.stream(paths))

    return run


def ready_tensors(bundle: Bundle, paths: list[Path]) -> dict[str, Column]:
    images = np.stack([bundle.preprocessing(path) for path in paths])
    cores = usable_cores()
    together, single = open_backend(bundle, threads=cores), open_backend(bundle, threads=1)
    pool = ThreadPoolExecutor(cores)

    def one_session(batch: int) -> Column:
        return lambda paths: [together.run(images[start : start + batch]) for start in range(0, len(paths), batch)]

    def from_threads(batch: int) -> Column:
        starts = range(0, len(images), batch)
        return lambda _: list(pool.map(lambda start: single.run(images[start : start + batch]), starts))

    return {
        **{f"onnxruntime, one session, batch {batch}": one_session(batch) for batch in (1, 8, 32)},
        **{f"onnxruntime, {cores} threads, batch {batch}": from_threads(batch) for batch in (1, 4)},
    }


class Photographs(torch.utils.data.Dataset[torch.Tensor]):
    """What everybody writes first: open, convert, transform."""

    def __init__(self, paths: list[Path], preprocessing: Preprocessing) -> None:
        from torchvision import transforms

        side = round(preprocessing.height / preprocessing.crop_share)
        interpolation = transforms.InterpolationMode(preprocessing.interpolation)
        self.paths = paths
        self.transform = transforms.Compose(
            [
                transforms.Resize(side, interpolation=interpolation),
                transforms.CenterCrop((preprocessing.height, preprocessing.width)),
                transforms.ToTensor(),
                transforms.Normalize(preprocessing.mean, preprocessing.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as image:
            tensor: torch.Tensor = self.transform(image.convert("RGB"))
        return tensor


def torch_columns(network: Network, preprocessing: Preprocessing) -> dict[str, Column]:
    torch.set_num_threads(usable_cores())

    def with_workers(workers: int) -> Column:
        loaders: dict[int, Any] = {}

        @torch.inference_mode()
        def run(paths: list[Path]) -> None:
            if workers not in loaders:  # kept between rounds, so that starting its processes is not timed
                loaders[workers] = torch.utils.data.DataLoader(
                    Photographs(paths, preprocessing),
                    batch_size=32,
                    num_workers=workers,
                    persistent_workers=workers > 0,
                )
            for batch in loaders[workers]:
                network(batch).softmax(dim=1).max(dim=1)

        return run

    return {
        f"torch + torchvision, {workers} loader processes": with_workers(workers) for workers in (0, usable_cores())
    }


def pipeline_column(model: str, interpolation: str, skipped: list[str]) -> dict[str, Column]:
    try:
        import timm
        from transformers import (
            TimmWrapperConfig,
            TimmWrapperForImageClassification,
            TimmWrapperImageProcessor,
            pipeline,
        )
    except ImportError as error:
        skipped.append(f"transformers pipeline: {error.name} is not installed (pip install transformers timm)")
        return {}
    name = {"mobilenet_v2": "mobilenetv2_100"}.get(model, f"tf_{model}" if "lite" in model else model)
    network = TimmWrapperForImageClassification(TimmWrapperConfig(architecture=name, num_labels=1000)).eval()
    processor = TimmWrapperImageProcessor(timm.create_model(name).pretrained_cfg | {"interpolation": interpolation})
    classify = pipeline("image-classification", model=network, image_processor=processor, device=-1)
    return {"transformers pipeline": lambda paths: classify([str(path) for path in paths], batch_size=8)}


def measure(columns: dict[str, Column], paths: list[Path], rounds: int) -> dict[str, Any]:
    names = list(columns)
    for column in columns.values():
        column(paths)
    rates: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in [*names[first:], *names[:first]]:
            started, used = time.perf_counter(), time.process_time()
            columns[name](paths)
            rates[name].append(len(paths) / (time.perf_counter() - started))
            cpu[name].append((time.process_time() - used) / len(paths) * 1000)
    return {
        "images_per_second": {name: round(statistics.median(found), 1) for name, found in rates.items()},
        "cpu_ms": {name: round(statistics.median(found), 2) for name, found in cpu.items()},
        "share_of_onnxruntime": {
            "of its own threading": share(rates, "onnxruntime, one session"),
            "of any way to drive it": share(rates, "onnxruntime"),
        },
        "rounds": rounds,
    }


def share(rates: dict[str, list[float]], yardstick: str) -> dict[str, Any]:
    """Ours over the best column whose name begins with `yardstick`, by the columns' medians and round by round."""
    columns = {name: statistics.median(found) for name, found in rates.items() if name.startswith(yardstick)}
    best = max(columns, key=lambda name: columns[name])
    by_round = [ours / theirs for ours, theirs in zip(rates["pocketvision"], rates[best], strict=True)]
    return {
        "column": best,
        "median": round(statistics.median(by_round), 3),
        "by_round": [round(each, 3) for each in by_round],
    }


IMPORT = "import pocketvision"
COMMAND = """
from pocketvision.cli.main import main
try: main()
except SystemExit: pass
"""
# The peak comes from /proc: what getrusage tells is inherited from the process that started this one.
AND_USED = """
import pathlib, time
seconds = time.process_time()
status = pathlib.Path("/proc/self/status")
peak = [line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line] if status.exists() else []
print(seconds, *peak or ["nan"])
"""


def in_a_process(script: str, *arguments: str | Path) -> dict[str, float]:
    """CPU seconds from the interpreter's start to the script's end, and peak resident memory; the best of five runs."""
    found = []
    for _ in range(5):
        child = subprocess.run(
            [sys.executable, "-c", f"import sys\n{script}\n{AND_USED}", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ,
        )
        seconds, kilobytes = child.stdout.splitlines()[-1].split()
        found.append((float(seconds), float(kilobytes) / 1024))
    seconds, megabytes = min(found)
    return {"cpu_seconds": round(seconds, 3), "peak_resident_mb": round(megabytes, 1)}


if __name__ == "__main__":
    main()
