"""What 8 bits cost and gain: four networks on Fashion-MNIST's 10,000 test images, and Lite0's speed at 224 pixels.

    python benchmarks/quantize.py --data /usr/share/datasets/fashion-mnist --out quantized          # about 2 hours
    python benchmarks/quantize.py --data ... --out quantized --models efficientnet_lite0 --minutes 5
    python benchmarks/quantize.py --speed-only

Each network is trained here for at most `--minutes` by the plain loop (fashion_mnist.py), shipped as a bundle, and given to
`pocketvision quantize`, which calibrates on 256 training images and judges on all 10,000 test images. A bundle that is in `--out`
already is not trained again.

Bars: float accuracy above 85 %; the accuracy drops by at most 0.5 points (paired 95 % bound); the file is at most 0.3 of the
float one; Lite0 at 224 pixels is at least 1.4 times as fast at batch 1, float and 8 bits timed in turns. Prints JSON.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fashion_mnist import DATA, trained_bundle, write_pictures

from pocketvision.compression.quantize_onnx import prepare_onnx, quantize_onnx
from pocketvision.compression.settings import CANDIDATES
from pocketvision.data.demo_faces import some_pictures
from pocketvision.errors import PocketVisionError
from pocketvision.evaluation.latency import measure_latency
from pocketvision.export.exportable import Exportable
from pocketvision.export.to_onnx import FILE, write_onnx
from pocketvision.models.weights import load_pretrained
from pocketvision.runtime.backends import open_onnx
from pocketvision.tasks.classification.task import classifying
from pocketvision.workflows.quantize import quantize

MODELS = ("efficientnet_lite0", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0")
BARS = {"accuracy": 0.85, "drop, upper bound, points": 0.5, "size": 0.3, "lite0 at 224, times as fast": 1.4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("quantized"))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--minutes", type=float, default=20.0, help="of training for each network, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed-only", action="store_true")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"bars": BARS, "cpu": _cpu(), "networks": {}}
    if not arguments.speed_only:
        table = write_pictures(arguments.data, arguments.out, train=256)
        for model in arguments.models.split(","):
            result["networks"][model] = network_figures(model, arguments, table)
            print(json.dumps({model: result["networks"][model]}), flush=True)
    result["lite0 at 224"] = speed()
    print(json.dumps(result, indent=2))


def network_figures(model: str, arguments: argparse.Namespace, table: Path) -> dict[str, Any]:
    folder = arguments.out / model
    seconds = trained_bundle(model, arguments.data, folder, minutes=arguments.minutes, seed=arguments.seed)
    try:
        found = quantize(folder, data=table, out=arguments.out / f"{model}-int8", calibration=256)
    except PocketVisionError as error:
        return {"training_seconds": seconds, "error": str(error)}
    compared, latency, before = found.chosen.comparison, found.chosen.latency, found.search.float_latency
    assert latency is not None and compared.drop_interval is not None
    return {
        "training_seconds": seconds,
        "settings": found.chosen.settings.title,
        "float_accuracy": compared.reference_accuracy,
        "accuracy": compared.accuracy,
        "drop": compared.drop,
        "drop_interval": [compared.drop_interval.low, compared.drop_interval.high],
        "sure": found.is_sure,
        "size": found.chosen.bytes / found.float_bytes,
        "times_as_fast_at_96": before.latency_ms / latency.latency_ms,
        "candidates": {
            each.settings.title: {"drop": each.comparison.drop, "ms": each.latency and each.latency.latency_ms}
            for each in found.search.candidates
        },
        "sensitive_layers": [each.layer for each in found.search.sensitivities[:5]],
    }


def speed() -> dict[str, Any]:
    """Milliseconds of one image, float and every 8-bit candidate of ONNX Runtime's in turns, at 224 pixels."""
    pretrained = load_pretrained("efficientnet_lite0")
    labels = tuple(map(str, range(pretrained.network.num_classes)))
    images = np.stack([pretrained.preprocessing(path) for path in some_pictures(32)])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_onnx(Exportable(pretrained.network, classifying(labels), pretrained.preprocessing), folder)
        runs = {"float32": open_onnx(folder / FILE).run}
        prepare_onnx(folder / FILE, folder / "prepared.onnx")
        for number, settings in enumerate(each for each in CANDIDATES["onnxruntime"] if each.calibration == "minmax"):
            path = folder / f"{number}.onnx"
            quantize_onnx(
                folder / "prepared.onnx", path, settings, [images[start : start + 8] for start in range(0, 32, 8)]
            )
            runs[settings.title] = open_onnx(path).run
        found = measure_latency(runs, images[:1], seconds=10)
    before = found["float32"].latency_ms
    return {name: {"ms": each.latency_ms, "times_as_fast": before / each.latency_ms} for name, each in found.items()}


def _cpu() -> dict[str, Any]:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "")
    return {"name": name, "avx2": " avx2" in text, "vnni": "vnni" in text}


if __name__ == "__main__":
    main()
