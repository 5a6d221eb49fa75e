"""Make tests/golden/format1 anew, with PocketVision 0.1.0 (commit 4386f45): `python tests/golden/make_format1.py FOLDER`.

Later versions write later formats; the files are kept, not made anew. See README.md.
"""

import shutil
import sys
from pathlib import Path

import safetensors.torch
import torch
from golden_pictures import write_pictures

import pocketvision
from pocketvision.atomic_files import write_json
from pocketvision.models.architecture_file import read_architecture
from pocketvision.models.network import Network
from pocketvision.models.state_files import rows_as_metadata
from pocketvision.progress import EpochEnded, Event
from pocketvision.workflows.quantize import quantize

ROWS = {
    "name": "tiny",
    "family": "small_cnn",
    "stages": [
        {
            "kernel": 3,
            "stride": 2,
            "expansion": 1,
            "channels": channels,
            "repeats": 1,
            "block": "fused",
            "residual": False,
        }
        for channels in (8, 12, 16)
    ],
    "stem_channels": 8,
    "head_channels": 0,
    "activation": "relu",
    "padding": "symmetric",
    "norm_epsilon": 1e-5,
    "input_size": 32,
    "dropout": 0.1,
    "stem_stride": 1,
}
PLACE = "@GOLDEN@"
"""Stands in the text files for the folder that all this lies in."""
_LARGE = ("report.html", "plots", "cache", "log.jsonl")
LEFT_OUT = {
    "finished": _LARGE,
    "unfinished": (*_LARGE, "bundle", "metrics.json", "stage1/best.safetensors", "stage2/best.safetensors"),
    "from_scratch": (*_LARGE, "bundle", "metrics.json", "stage1/best.safetensors", "stage2"),
}
"""Of each run: what a test does not need."""


def make(folder: Path) -> None:
    """Train twice in `folder` and cut the runs to size."""
    write_pictures(folder / "pictures")
    write_json(folder / "tiny.json", ROWS)
    torch.manual_seed(0)
    network = Network(read_architecture(folder / "tiny.json"), num_classes=10)
    start = folder / "start.safetensors"
    safetensors.torch.save_file(network.state_dict(), start, rows_as_metadata(network.architecture))
    options = {"model": str(folder / "tiny.json"), "size": 32, "unfreeze": 2, "batch": 4, "views": 2, "seed": 1}

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochEnded) and (event.record.stage, event.record.epoch) == (2, 1):
            raise KeyboardInterrupt

    data = folder / "pictures"
    once = {**options, "epochs1": 2, "test_share": 0.2, "precision": "float32"}
    pocketvision.train(data, out=folder / "finished", weights=str(start), lr2=3e-2, epochs2=12, **once)
    pocketvision.train(data, out=folder / "unfinished", weights=str(start), epochs2=2, on_event=interrupt, **once)
    pocketvision.train(data, out=folder / "from_scratch", weights="none", epochs2=2, on_event=interrupt, **once)
    quantize(
        folder / "finished" / "bundle",
        out=folder / "quantized",
        method="onnxruntime",
        max_accuracy_drop=100,
        seconds=0.1,
    )
    for name, left_out in LEFT_OUT.items():
        _cut(folder / name, folder, left_out)
    shutil.rmtree(folder / "pictures")


def _cut(run: Path, folder: Path, left_out: tuple[str, ...]) -> None:
    for name in left_out:
        if (run / name).is_dir():
            shutil.rmtree(run / name)
        else:
            (run / name).unlink(missing_ok=True)
    for file in run.glob("*.*"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(str(folder), PLACE), encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    target.mkdir(parents=True)
    make(target)
