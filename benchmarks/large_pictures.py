"""The memory and time of masks of a large picture, in overlapping tiles: the highest resident memory of `pocketvision predict`.

    python benchmarks/large_pictures.py --side 10000 --tile 1024

Writes a picture of `--side` x `--side` pixels (PNG, or `--format jpg`), and a bundle: U-Net on EfficientNet-Lite0 with random
weights, `--classes` classes and an input of `--size`, which answers as fast as a trained one and in as many borders; or takes
`--bundle`. Then one command with the limit of pixels raised, in a process of its own, whose memory the system tells. Prints
JSON, beside it what all logits of the picture would take in float32.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

BAR_MB = 1500


def write_picture(file: Path, side: int) -> None:
    """Noise in cells, as large as a picture of cells under a microscope would have them."""
    cells = np.random.default_rng(0).integers(0, 256, (side // 40 + 1, side // 40 + 1, 3)).astype(np.uint8)
    Image.fromarray(cells).resize((side, side), Image.Resampling.NEAREST).save(file, compress_level=1, quality=90)


def write_bundle(folder: Path, classes: int, size: int) -> Path:
    """A network with random weights, exported as a trained one is."""
    import torch

    from pocketvision.export.shipping import ship
    from pocketvision.models.catalog import ARCHITECTURES
    from pocketvision.models.heads.head import HeadSpec
    from pocketvision.models.network import Network
    from pocketvision.preprocessing import Preprocessing
    from pocketvision.tasks.segmentation.task import segmenting

    torch.manual_seed(0)
    network = Network(ARCHITECTURES["efficientnet_lite0"], {"segmentation": HeadSpec("u_net", classes)})
    preprocessing = Preprocessing(size, size, 1.0, "bilinear", (0.5,) * 3, (0.25,) * 3, fit="stretch")
    picture = np.random.default_rng(1).integers(0, 256, (size, size, 3)).astype(np.uint8)
    ship(
        network,
        folder,
        tasks=segmenting([f"class {place}" for place in range(classes)], {}),
        preprocessing=preprocessing,
        load=lambda _: preprocessing.place(picture),
        names=["noise"],
    )
    return folder


def measured(bundle: Path, picture: Path, tile: int, out: Path, threads: int) -> dict[str, float]:
    """Of one command."""
    command = [sys.executable, "-m", "pocketvision", "predict", str(bundle), str(picture), "--out", str(out)]
    began = time.perf_counter()
    subprocess.run([*command, "--max-pixels", "1000000000", "--tile", str(tile), "--threads", str(threads)], check=True)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    return {"seconds": round(seconds, 1), "peak_resident_mb": round(peak)}


def main() -> None:
    """Write, predict and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--format", choices=("png", "jpg"), default="png")
    parser.add_argument("--classes", type=int, default=11)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bundle", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / f"large.{options.format}"
        bundle = options.bundle or Path(folder) / "bundle"
        if options.bundle is None:
            write_bundle(bundle, options.classes, options.size)
        write_picture(picture, options.side)
        figures = measured(bundle, picture, options.tile, Path(folder) / "masks", options.threads)
        mask = Image.open(Path(folder) / "masks/large.png")
        figures["bar_mb"] = BAR_MB
        figures["all_logits_in_float32_mb"] = round(options.side**2 * options.classes * 4 / 1e6)
        print(json.dumps({**figures, "mask": list(mask.size), "tile": options.tile}, indent=2))


if __name__ == "__main__":
    Image.MAX_IMAGE_PIXELS = None
    main()
