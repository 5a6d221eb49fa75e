"""Random validation, validation split by likely groups, and a test on new objects: how far each is from the test.

Bursts: every object is one picture of Fashion-MNIST, in a colour of its own, seen in eight views that differ in background,
place, size, turn, light, blur and noise, under names in the order of taking or under ones that tell nothing; the test holds other
objects, two views each. Backgrounds and light are drawn without looking at the class. Splits are drawn as `train` draws them, the
head is the quick one of `pocketvision check --groups`, on the same frozen features. Real pictures: `--strangers` (one object a
picture) shows what is grouped wrongly.

    python benchmarks/grouped_split.py --strangers clothing/ --out benchmarks/grouped_split.json
"""

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pocketvision.data.capture_orders import capture_orders
from pocketvision.data.flattering import answered_rightly, twins_in_training
from pocketvision.data.likely_groups import LikelyGroups, likely_groups
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.splits import make_split, unite
from pocketvision.training.frozen_features import frozen_features

DATA = Path("/usr/share/datasets/fashion-mnist")
SIDE, VIEWS, TEST_VIEWS, DRAWS = 128, 8, 2, 5
_ORDER = "order of "
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Garments:
    """pictures: (n, 28, 28) uint8, bright on black. labels: (n) 0 to 9."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    @classmethod
    def read(cls, folder: Path) -> "Garments":
        with (
            gzip.open(folder / "train-images-idx3-ubyte.gz") as images,
            gzip.open(folder / "train-labels-idx1-ubyte.gz") as labels,
        ):
            pictures = np.frombuffer(images.read(), np.uint8, offset=16).reshape(-1, 28, 28)
            return cls(pictures, np.frombuffer(labels.read(), np.uint8, offset=8))

    def of_each_class(self, count: int, random: np.random.Generator) -> Numbers:
        """Indices of `count` of every class, class by class."""
        chosen = [random.choice(np.flatnonzero(self.labels == each), count, replace=False) for each in range(10)]
        return np.concatenate(chosen).astype(np.int64)


def background(random: np.random.Generator) -> Image.Image:
    """Two colours that blend into each other in patches of any size."""
    cells = int(random.integers(2, 9))
    patches = random.uniform(0, 255, (cells, cells, 1)) * random.uniform(0.2, 1, 3) + random.uniform(0, 60, 3)
    return Image.fromarray(patches.clip(0, 255).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def view(garment: NDArray[np.uint8], colour: NDArray[np.float64], random: np.random.Generator) -> Image.Image:
    """A picture of the garment: `colour` is its own, everything else is of this view."""
    side = int(SIDE * random.uniform(0.55, 0.95))
    grey = Image.fromarray(garment).resize((side, side), Image.Resampling.BICUBIC)
    grey = grey.rotate(random.uniform(-15, 15), Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        grey = grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    shades = np.asarray(grey, np.float64)[..., None] / 255
    own = Image.fromarray((255 * shades * colour).clip(0, 255).astype(np.uint8))
    place = tuple(random.integers(0, SIDE - side + 1, 2).tolist())
    picture = background(random)
    picture.paste(own, place, grey.point([min(255, 6 * each) for each in range(256)]))
    if random.random() < 0.4:
        picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.5)))
    light = random.uniform(0.6, 1.4) * random.uniform(0.85, 1.15, 3)
    pixels = np.asarray(picture, np.float64) * light + random.normal(0, random.uniform(1, 9), (SIDE, SIDE, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_bursts(garments: Garments, chosen: Numbers, views: int, folder: Path, random: np.random.Generator) -> None:
    """CLASS/OBJECT_VIEW.jpg of every chosen garment, numbered on over all classes in an order by chance, as by one camera."""
    for number, index in enumerate(random.permutation(chosen).tolist()):
        own = folder / str(garments.labels[index])
        own.mkdir(parents=True, exist_ok=True)
        colour = random.uniform(0.35, 1, 3)
        for each in range(views):
            picture = view(garments.pictures[index], colour, random)
            picture.save(own / f"{number:05d}_{each}.jpg", quality=int(random.integers(70, 93)))


@dataclass(frozen=True, eq=False)
class Pictures:
    """features: (n, d). labels, objects: (n). orders: those of capture_orders."""

    features: NDArray[np.float32]
    labels: Numbers
    objects: Numbers
    orders: Mapping[str, Numbers]

    @classmethod
    def read(cls, folder: Path) -> "Pictures":
        samples = read_samples(folder)
        objects = np.unique([Path(path).stem.rpartition("_")[0] for path in samples.paths], return_inverse=True)[1]
        features, _ = frozen_features(samples)
        return cls(features, samples.labels.astype(np.int64), objects.astype(np.int64), capture_orders(samples))

    def write(self, file: Path) -> None:
        arrays = {f"{_ORDER}{name}": order for name, order in self.orders.items()}
        np.savez(file, features=self.features, labels=self.labels, objects=self.objects, **arrays)  # type: ignore[arg-type]

    @classmethod
    def kept(cls, file: Path) -> "Pictures":
        """What was written."""
        found = np.load(file)
        orders = {name.removeprefix(_ORDER): found[name] for name in found.files if name.startswith(_ORDER)}
        return cls(found["features"], found["labels"], found["objects"], orders)


def share(right: NDArray[np.bool_]) -> float | None:
    return float(right.mean()) if len(right) else None


def figures(
    learned: Pictures, test: Pictures, groups: Numbers, clusters: Numbers, seed: int
) -> dict[str, float | None]:
    """What one split, drawn as `train` draws it, says of its validation, and what its head does on the test."""
    split = make_split(learned.labels, clusters=clusters, val_share=0.2, seed=seed)
    train, asked = np.flatnonzero(split == 0), np.flatnonzero(split == 1)
    features = np.concatenate([learned.features, test.features])
    labels = np.concatenate([learned.labels, test.labels])
    right = answered_rightly(features, labels, train, np.append(asked, np.arange(len(learned.labels), len(labels))))
    of_validation, of_test = right[: len(asked)], right[len(asked) :]
    twin = twins_in_training(groups, train, asked)
    known = np.isin(learned.objects[asked], learned.objects[train])
    return {
        "validation": share(of_validation),
        "rest": share(of_validation[~twin]),
        "test": share(of_test),
        "near_twins": share(twin),
        "objects_in_training": share(known),
    }


def mean(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Of each figure over the rows that have it."""
    found: dict[str, float | None] = {}
    for name in rows[0]:
        values = [value for row in rows if (value := row[name]) is not None]
        found[name] = round(float(np.mean(values)), 4) if values else None
    return found


def pictured(garments: Garments, objects: int, seed: int, kept: Path) -> tuple[Pictures, Pictures]:
    """One set of bursts, to learn from and to test on; their features stay in `kept` for the next run."""
    files = [kept / f"{objects}-{seed}-{name}.npz" for name in ("train", "test")]
    if not all(file.is_file() for file in files):
        random = np.random.default_rng(seed)
        chosen = random.permuted(garments.of_each_class(2 * objects, random).reshape(10, -1), axis=1)
        with tempfile.TemporaryDirectory() as folder:
            sets = (("train", chosen[:, :objects], VIEWS), ("test", chosen[:, objects:], TEST_VIEWS))
            for name, rows, views in sets:
                write_bursts(garments, rows.reshape(-1), views, Path(folder) / name, random)
            for file, (name, _, _) in zip(files, sets, strict=True):
                Pictures.read(Path(folder) / name).write(file)
    learned, test = map(Pictures.kept, files)
    return learned, test


def burst(garments: Garments, objects: int, seed: int, kept: Path) -> list[dict[str, Any]]:
    """One set of bursts, with names in order and without: the mean over five draws of the split."""
    learned, test = pictured(garments, objects, seed, kept)
    return [
        {
            "seed": seed,
            "names": names,
            **measured(learned, test, likely_groups(learned.features, learned.labels, orders)),
        }
        for names, orders in (("in order", learned.orders), ("telling nothing", {}))
    ]


def measured(learned: Pictures, test: Pictures, likely: LikelyGroups) -> dict[str, Any]:
    """The figures by random splits, by those that part no likely group and by those that part no object, and how far each is from
    the test."""
    count = len(learned.labels)
    single, grouped = np.arange(count), unite(count, np.zeros((0, 2), np.int64), likely.of)
    by_split = {
        name: mean([figures(learned, test, likely.of, clusters, seed) for seed in range(DRAWS)])
        for name, clusters in (("random", single), ("grouped", grouped), ("by_object", learned.objects))
    }
    off = {f"{name}_is_off_by": _points(each["validation"], each["test"]) for name, each in by_split.items()}
    return {
        "pictures": count,
        "objects": int(learned.objects.max()) + 1,
        "evidence": list(likely.why),
        "groups": likely.count,
        "images_in_groups": likely.images,
        "purity": purity(likely.of, learned.objects),
        **by_split,
        **off,
        "rest_is_off_by": _points(by_split["random"]["rest"], by_split["random"]["test"]),
    }


def purity(groups: Numbers, truth: Numbers) -> float | None:
    """The share of grouped pictures that are of the object which most of their group are of."""
    kept = groups >= 0
    if not kept.any():
        return None
    counts = np.zeros((groups.max() + 1, truth.max() + 1), np.int64)
    np.add.at(counts, (groups[kept], truth[kept]), 1)
    return round(float(counts.max(axis=1).sum() / kept.sum()), 4)


def _points(validation: float | None, test: float | None) -> float | None:
    return None if validation is None or test is None else round(100 * (validation - test), 1)


def strangers(folder: Path, kept: Path) -> dict[str, Any]:
    """Pictures of one object each: what is grouped is grouped wrongly. Given splits are left aside."""
    file = kept / f"{folder.name}.npz"
    if not file.is_file():
        Pictures.read(folder).write(file)
    pictures = Pictures.kept(file)
    started = time.perf_counter()
    likely = likely_groups(pictures.features, pictures.labels, pictures.orders)
    seconds = round(time.perf_counter() - started, 2)
    return {
        "pictures": len(pictures.labels),
        "grouped": likely.images,
        "evidence": list(likely.why),
        "seconds": seconds,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of Fashion-MNIST")
    parser.add_argument("--objects", type=int, default=40, help="of each class, to learn from and as many in the test")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--strangers", type=Path, nargs="*", default=[], help="folders of classes, one object a picture"
    )
    parser.add_argument(
        "--features",
        type=Path,
        default=Path(tempfile.gettempdir(), "grouped-split"),
        help="keeps features between runs",
    )
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    chosen.features.mkdir(parents=True, exist_ok=True)
    garments = Garments.read(chosen.data)
    rows = [row for seed in range(chosen.seeds) for row in burst(garments, chosen.objects, seed, chosen.features)]
    off = [{name: row[name] for name in row if name.endswith("_is_off_by")} for row in rows]
    result = {
        "bursts": rows,
        "mean": {
            names: mean([o for o, row in zip(off, rows, strict=True) if row["names"] == names])
            for names in ("in order", "telling nothing")
        },
        "strangers": {folder.name: strangers(folder, chosen.features) for folder in chosen.strangers},
    }
    text = json.dumps(result, indent=2)
    if chosen.out is not None:
        chosen.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
