"""Four views each of the demo's faces, whose groups are known; and features of them that need no network."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from pocketvision.data import demo_faces
from pocketvision.data.samples import Samples

VIEWS = 4


def write_bursts(folder: Path) -> Path:
    """40 faces in two classes by chance, four crops of each in other light, under names that tell nothing."""
    random = np.random.default_rng(0)
    faces = sorted((Path(demo_faces.__file__).parent / "faces").rglob("*.png"))
    chosen = [faces[index] for index in random.choice(len(faces), 40, replace=False)]
    names = random.permutation(VIEWS * len(chosen))
    for number, face in enumerate(chosen):
        with Image.open(face) as opened:
            image = opened.convert("RGBA")
        picture = Image.new("RGB", image.size, tuple(random.integers(60, 200, 3).tolist()))
        picture.paste(image, mask=image)
        for view in range(VIEWS):
            left, top, right, bottom = random.uniform(0, 0.12, 4)
            width, height = picture.size
            box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
            crop = picture.resize((96, 96), Image.Resampling.BILINEAR, box=box)
            lit = ImageEnhance.Brightness(crop).enhance(float(random.uniform(0.75, 1.25)))
            own = folder / "ab"[number % 2]
            own.mkdir(exist_ok=True)
            lit.save(own / f"{names[VIEWS * number + view]:03d}.png")
    return folder


def features_of_pixels(samples: Samples, **_: object) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The pictures themselves, at 8 pixels."""
    pictures = [Image.open(samples.file(index)).resize((8, 8)) for index in range(len(samples))]
    features = np.stack([np.asarray(picture, np.float32).reshape(-1) for picture in pictures])
    return features, np.ones(len(samples), np.bool_)
