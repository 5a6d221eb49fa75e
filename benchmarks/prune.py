"""What pruning costs and gains: MobileNetV2 and EfficientNet-Lite0 on Fashion-MNIST's 10,000 test images at 96 pixels.

    python benchmarks/prune.py --out quantized                                # about 40 minutes; networks are quantize.py's
    python benchmarks/prune.py --out quantized --models mobilenet_v2 --importance taylor

Each network is trained for at most `--minutes` by the plain loop (fashion_mnist.py; one that is in `--out` is not trained again)
and given to `pocketvision prune`, which removes channels in rounds, tunes on the first `--images` training images, and judges on
all 10,000 test images. Both graphs answer single images in ONNX Runtime in turns. Prints JSON.

Bars: 40 % fewer multiply-accumulates, at most 1 point of accuracy lost, at least 1.3 times as fast.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from fashion_mnist import BATCH, DATA, trained_bundle, write_pictures

from pocketvision.bundle import Bundle, read_bundle
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.evaluation.latency import measure_latency
from pocketvision.progress import Note
from pocketvision.runtime.backends import open_backend
from pocketvision.workflows.prune import prune

MODELS = ("mobilenet_v2", "efficientnet_lite0")
BARS = {"macs": 0.6, "drop, points": 1.0, "times as fast": 1.3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("quantized"))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--minutes", type=float, default=20.0, help="of training for each network, at most")
    parser.add_argument("--images", type=int, default=20_000, help="that tune the pruned network")
    parser.add_argument("--epochs", type=float, default=3.0, help="of tuning in all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--importance", default="l1")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed-only", action="store_true", help="time the pruned bundles that are there already")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"bars": BARS, "networks": {}}
    table = write_pictures(arguments.data, arguments.out, train=arguments.images)
    for model in arguments.models.split(","):
        folder, pruned = arguments.out / model, arguments.out / f"{model}-pruned"
        figures = {} if arguments.speed_only else pruning(model, folder, pruned, arguments, table)
        result["networks"][model] = {**figures, "speed": speed(read_bundle(folder), read_bundle(pruned))}
        print(json.dumps({model: result["networks"][model]}), flush=True)
    print(json.dumps(result, indent=2))


def pruning(model: str, folder: Path, pruned: Path, arguments: argparse.Namespace, table: Path) -> dict[str, Any]:
    """Train where it is needed, prune, and say what was lost."""
    trained = trained_bundle(model, arguments.data, folder, minutes=arguments.minutes, seed=arguments.seed)
    settings = PruneSettings(
        keep_macs=BARS["macs"],
        rounds=arguments.rounds,
        epochs=arguments.epochs,
        lr=arguments.lr,
        batch=BATCH,
        importance=arguments.importance,
        max_accuracy_drop=100.0,
        seed=arguments.seed,
    )
    started = time.perf_counter()
    found = prune(folder, settings, data=table, out=pruned, on_event=lambda event: print(_text(event), flush=True))
    compared = found.comparison
    assert compared.drop_interval is not None
    return {
        "training_seconds": trained,
        "pruning_seconds": time.perf_counter() - started,
        "macs": found.after.macs / found.before.macs,
        "parameters": found.after.parameters / found.before.parameters,
        "accuracy_before": compared.reference_accuracy,
        "accuracy": compared.accuracy,
        "drop": compared.drop,
        "drop_interval": [compared.drop_interval.low, compared.drop_interval.high],
    }


def speed(before: Bundle, after: Bundle) -> dict[str, float]:
    """Milliseconds of one image before and after, in turns."""
    runs = {"before": open_backend(before).run, "after": open_backend(after).run}
    found = measure_latency(runs, before.golden()["images"][:1], seconds=10)
    return {
        "before_ms": found["before"].latency_ms,
        "after_ms": found["after"].latency_ms,
        "times_as_fast": found["before"].latency_ms / found["after"].latency_ms,
        "times_as_fast_in_batches": found["after"].images_per_second / found["before"].images_per_second,
    }


def _text(event: object) -> str:
    return event.text if isinstance(event, Note) else ""


if __name__ == "__main__":
    main()
