"""What a crop costs where things lie anywhere in a picture: counts and tags of generated pictures, by how they are fitted.

    python benchmarks/whole_pictures.py

420 noisy pictures of 320 x 240 pixels with 0 to 12 dots anywhere, and a square and a triangle in two of five each; 280 are
learned from, at 128 pixels, by a ridge regression on several stages of EfficientNet-Lite0. Prints JSON: of the 140 others the
mean absolute error of the count (`mean`: of always saying the mean) and the average precision of the two tags, with clean views
alone, and with two augmented ones of each picture.
"""

import json
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pocketvision.data.augment import CLEAN, apply_view, draw_view
from pocketvision.models.features import multiscale_features
from pocketvision.models.network import Network
from pocketvision.models.weights import load_pretrained
from pocketvision.preprocessing import Fit, Preprocessing
from pocketvision.tasks.tags.metrics import average_precisions
from pocketvision.training.ridge import solve_ridge

PICTURES, LEARNED, VIEWS = 420, 280, 2
WIDTH, HEIGHT = 320, 240
Floats = NDArray[np.float32]


def generated() -> tuple[list[Image.Image], Floats]:
    """Pictures, and (n, 3): how many dots, whether there is a square, a triangle."""
    rng = np.random.default_rng(0)
    pictures, truth = [], []
    for _ in range(PICTURES):
        noise = rng.normal(150, 25, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
        picture = Image.fromarray(noise)
        pen, dots, shapes = ImageDraw.Draw(picture), int(rng.integers(0, 13)), rng.random(2) < 0.4

        def place(margin: float) -> tuple[float, float]:
            return rng.uniform(margin, WIDTH - margin), rng.uniform(margin, HEIGHT - margin)

        for _ in range(dots):
            (x, y), radius = place(11), rng.uniform(7, 11)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(60, 60, 90))
        if shapes[0]:
            x, y = place(12)
            pen.rectangle((x - 11, y - 11, x + 11, y + 11), fill=(200, 60, 50))
        if shapes[1]:
            x, y = place(13)
            pen.polygon([(x - 13, y + 11), (x + 13, y + 11), (x, y - 13)], fill=(60, 160, 60))
        pictures.append(picture)
        truth.append((dots, *shapes))
    return pictures, np.array(truth, np.float32)


def features(network: Network, pictures: list[Image.Image], preprocessing: Preprocessing, view: int) -> Floats:
    """(n, channels) of the view of each, 0 the clean one."""
    names, found = multiscale_features(network.architecture), []
    for place, picture in enumerate(pictures):
        drawn = draw_view(0, place, view, augmentation="standard") if view else CLEAN
        pixels = torch.from_numpy(apply_view(picture, drawn, preprocessing)[None])
        with torch.no_grad():
            read = network.features(pixels, names)
        found.append(torch.cat([read[name] for name in names], dim=1).numpy())
    return np.concatenate(found)


def measured(learned: Floats, wanted: Floats, unseen: Floats, truth: Floats) -> dict[str, float]:
    """Of rows that are learned from, the clean views first, and of clean views that are not."""
    centre, spread = wanted.mean(0), wanted.std(0)
    groups = np.arange(len(learned)) % LEARNED
    ridge = solve_ridge(learned, (wanted - centre) / spread, groups=groups)
    said = (unseen @ ridge.weights + ridge.bias) * spread + centre
    ones = np.ones((1, len(truth)), np.int64)
    precisions = average_precisions(said[:, 1:].astype(np.float64), truth[:, 1:] > 0, ones)[0]
    return {
        "mae": round(float(np.abs(said[:, 0] - truth[:, 0]).mean()), 3),
        "mean": round(float(np.abs(truth[:, 0] - centre[0]).mean()), 3),
        "square": round(float(precisions[0]), 3),
        "triangle": round(float(precisions[1]), 3),
    }


def main() -> None:
    torch.set_num_threads(1)
    pictures, truth = generated()
    pretrained = load_pretrained("efficientnet_lite0")
    network, found = pretrained.network.eval(), {}
    for fit in ("crop", "stretch", "pad"):
        whole = {} if fit == "crop" else {"crop_share": 1.0}
        preprocessing = replace(pretrained.preprocessing, fit=cast(Fit, fit), **whole).with_size(128)
        clean = features(network, pictures, preprocessing, 0)
        views = [features(network, pictures[:LEARNED], preprocessing, view) for view in range(1, VIEWS + 1)]
        for name, more in (("clean", []), ("augmented", views)):
            learned = np.concatenate([clean[:LEARNED], *more])
            wanted = np.tile(truth[:LEARNED], (1 + len(more), 1))
            found[f"{fit}, {name}"] = measured(learned, wanted, clean[LEARNED:], truth[LEARNED:])
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
