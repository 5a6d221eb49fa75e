"""Build the benchmarks' real image data set: every emoji, drawn by up to four design teams, in thirteen classes.

    npm install --prefix DIR --no-save --ignore-scripts \\
        openmoji@17.0.0 fluentui-emoji@1.3.0 @lobehub/fluent-emoji-3d@1.1.0
    pip install resvg-py
    python benchmarks/pictures.py --packages DIR --out DATA

It writes `DATA/images/DESIGN/*.jpg` (256 x 256, on white), `DATA/samples.csv` (every picture: path, label, group,
split) and `DATA/small.csv` (1,000 train and 500 validation pictures of the same splits, and the same test set).

A class is a set of Unicode sub-categories (CLASSES). Skin-tone variants are left out. A group is one emoji in all its
designs and genders ("man farmer", "woman farmer", "farmer"), and never straddles splits, so that a picture in the test
split has no sibling in training. The result is the same for the same package versions and seed.
"""

import argparse
import csv
import io
import json
import random
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

SIZE = 256
SPLITS = ("train", "val", "test")
SMALL = {"train": 1000, "val": 500}

# Class → Unicode sub-categories, written as OpenMoji's data does. The first class with a matching prefix wins.
CLASSES: dict[str, tuple[str, ...]] = {
    "faces": ("face-", "cat-face", "monkey-face"),
    "hands": ("hand", "body-parts"),
    "people": ("person", "family"),
    "animals": ("animal-",),
    "food": ("food-", "drink", "dishware"),
    "nature": ("plant-", "sky-weather", "place-geographic"),
    "places": ("place-", "hotel"),
    "transport": ("transport-ground", "transport-air", "transport-water"),
    "activities": ("sport", "game", "event", "arts-crafts", "award-medal", "musical-instrument"),
    "clothing": ("clothing",),
    "flags": ("country-flag", "subdivision-flag", "flag"),
    "symbols": (
        "heart",
        "emotion",
        "transport-sign",
        "warning",
        "arrow",
        "religion",
        "zodiac",
        "av-symbol",
        "gender",
        "math",
        "punctuation",
        "currency",
        "other-symbol",
        "keycap",
        "alphanum",
        "geometric",
    ),
    "objects": ("",),
}


@dataclass(frozen=True)
class Picture:
    """One drawing: the file it comes from and what is said about it in the table. `path` is relative to the output."""

    source: Path
    path: str
    label: str
    group: str
    split: str = ""


def slug(name: str) -> str:
    """A name as Fluent's files write it: ASCII, lower case, words joined by hyphens ("piñata" → "pinata")."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"['.]", "", ascii_name.lower())).strip("-")


def class_of(subgroup: str) -> str:
    """The class of a Unicode sub-category."""
    return next(name for name, prefixes in CLASSES.items() if subgroup.startswith(prefixes))


def group_of(name: str) -> str:
    """The group of an emoji's name: the name without the gender of the person it shows."""
    words = slug(name).split("-")
    neutral = [word for word in words if word not in {"man", "woman", "men", "women", "person", "people"}]
    return "-".join(neutral or ["person"])


def drawings(modules: Path, hexcode: str, name: str) -> Iterator[tuple[str, Path]]:
    """(design, file) of every design that draws this emoji, default skin tone only."""
    plain = "-".join(code for code in hexcode.lower().split("-") if code != "fe0f")
    candidates = {
        "openmoji": [modules / "openmoji/color/svg" / f"{hexcode}.svg"],
        "fluent_3d": [
            modules / "@lobehub/fluent-emoji-3d/assets" / f"{code}.webp" for code in (hexcode.lower(), plain)
        ],
    }
    for style in ("modern", "flat"):
        folder = modules / "fluentui-emoji/icons" / style
        candidates[f"fluent_{style}"] = [folder / f"{slug(name)}{tone}.svg" for tone in ("", "-default")]
    for design, files in candidates.items():
        found = next((file for file in files if file.is_file()), None)
        if found:
            yield design, found


def list_pictures(modules: Path) -> list[Picture]:
    """Every drawing of every standard emoji without skin tone, in Unicode order."""
    entries = json.loads((modules / "openmoji/data/openmoji.json").read_text(encoding="utf-8"))
    pictures = []
    for entry in entries:
        if entry["skintone"] or entry["group"] == "component" or entry["group"].startswith("extras"):
            continue
        name = entry["annotation"]
        for design, source in drawings(modules, entry["hexcode"], name):
            path = f"images/{design}/{slug(name)}-{entry['hexcode'].lower()}.jpg"
            pictures.append(Picture(source, path, class_of(entry["subgroups"]), group_of(name)))
    return pictures


def assign_splits(pictures: list[Picture], test_share: float, val_share: float, seed: int) -> list[Picture]:
    """Give every picture a split: whole groups, class by class. `val_share` is a share of what is not test."""
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for picture in pictures:
        sizes[picture.label][picture.group] += 1
    shares = (("test", test_share), ("val", (1 - test_share) * val_share))
    split_of: dict[str, str] = {}
    for label, groups in sizes.items():
        order = sorted(group for group in groups if group not in split_of)
        random.Random(f"{seed} {label}").shuffle(order)
        for split, share in shares:
            wanted = share * groups.total()
            while order and wanted > 0:
                group = order.pop()
                split_of[group] = split
                wanted -= groups[group]
    return [replace(picture, split=split_of.get(picture.group, "train")) for picture in pictures]


def select_small(pictures: list[Picture], seed: int) -> list[Picture]:
    """A random part of the train and validation splits (sizes SMALL) and the whole test split."""
    kept: set[str] = {picture.path for picture in pictures if picture.split == "test"}
    for split, count in SMALL.items():
        paths = [picture.path for picture in pictures if picture.split == split]
        kept.update(random.Random(f"{seed} {split}").sample(paths, count))
    return [picture for picture in pictures if picture.path in kept]


def render(source: Path, size: int) -> Image.Image:
    """The drawing as an RGB picture of size x size on white; SVG is rasterised at that size."""
    if source.suffix == ".svg":
        import resvg_py

        encoded = bytes(resvg_py.svg_to_bytes(svg_path=str(source), width=size, height=size, skip_system_fonts=True))
    else:
        encoded = source.read_bytes()
    drawing = Image.open(io.BytesIO(encoded)).convert("RGBA").resize((size, size), Image.Resampling.LANCZOS)
    page = Image.new("RGBA", drawing.size, "white")
    return Image.alpha_composite(page, drawing).convert("RGB")


def write_table(file: Path, pictures: Iterable[Picture]) -> None:
    """The CSV table of these pictures: path, label, group, split."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("path", "label", "group", "split"))
        writer.writerows((p.path, p.label, p.group, p.split) for p in pictures)


def count_table(pictures: list[Picture]) -> str:
    """Pictures by class and split, as text."""
    counts = Counter((p.label, p.split) for p in pictures)
    lines = [f"{'':<11}" + "".join(f"{split:>7}" for split in SPLITS)]
    for label in CLASSES:
        lines.append(f"{label:<11}" + "".join(f"{counts[label, split]:>7}" for split in SPLITS))
    totals = Counter(p.split for p in pictures)
    return "\n".join([*lines, f"{'all':<11}" + "".join(f"{totals[split]:>7}" for split in SPLITS)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--packages", type=Path, required=True, help="the folder given to npm install --prefix")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--test-share", type=float, default=0.35)
    parser.add_argument("--val-share", type=float, default=0.2, help="of the pictures that are not in the test split")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    pictures = list_pictures(arguments.packages / "node_modules")
    pictures = assign_splits(pictures, arguments.test_share, arguments.val_share, arguments.seed)
    for picture in pictures:
        target = arguments.out / picture.path
        target.parent.mkdir(parents=True, exist_ok=True)
        # Quality 95 without chroma subsampling: the drawings' sharp coloured edges stay clean.
        render(picture.source, SIZE).save(target, quality=95, subsampling=0)
    write_table(arguments.out / "samples.csv", pictures)
    write_table(arguments.out / "small.csv", select_small(pictures, arguments.seed))
    print(count_table(pictures))


if __name__ == "__main__":
    main()
