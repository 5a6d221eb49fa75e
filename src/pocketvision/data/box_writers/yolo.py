"""YOLO: data.yaml, images/ and labels/ with a text file a picture."""

from collections.abc import Sequence
from pathlib import Path

from pocketvision.data.box_writers.writer import Picture, Writer, boxes_of, by_split
from pocketvision.json_text import json_text
from pocketvision.tasks.detection.truth import BoxLabels

_PLACES = 10
"""Decimals of shares: at 12,000 pixels a hundred-thousandth of one."""


def write(folder: Path, truth: BoxLabels, pictures: Sequence[Picture]) -> None:
    """A picture without objects has an empty text file. JSON's quoting is YAML's."""
    for picture in pictures:
        file = folder / "labels" / picture.split / f"{picture.stem}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = []
        for box in boxes_of(truth, picture.index):
            left, top, right, bottom = box.corners
            width, height = picture.size
            shares = (
                (left + right) / 2 / width,
                (top + bottom) / 2 / height,
                (right - left) / width,
                (bottom - top) / height,
            )
            lines.append(" ".join([str(box.place), *(f"{share:.{_PLACES}f}" for share in shares)]))
        file.write_text("".join(f"{line}\n" for line in lines), encoding="ascii", errors="strict")
    splits = [*by_split(pictures)]
    places = [f"{split or 'train'}: {images_of(split)}" for split in splits]
    names = [f"  {place}: {json_text(name)}" for place, name in enumerate(truth.class_names)]
    text = "\n".join([*places, "names:", *names, ""])
    (folder / "data.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")


def images_of(split: str) -> str:
    """Where the pictures of a split lie."""
    return f"images/{split}" if split else "images"


YOLO = Writer(
    says="data.yaml, images/SPLIT, labels/SPLIT with a text file a picture",
    folder=images_of,
    crowds=False,
    difficult=False,
    scores=False,
    write=write,
)
