"""Pictures with tags and with numbers, drawn by NumPy: how much red, green and blue there is, and how bright they are."""

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = ("red", "green", "blue")
SIZE = (64, 48)


def write_pictures(folder: Path, count: int, seed: int = 0) -> tuple[list[str], list[list[str]], list[float]]:
    """`count` pictures. Returns their names, the colours that each is tinted in (none to three), and ten times its brightness
    in %."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    names, tags, numbers = [], [], []
    for number in range(count):
        tinted = generator.random(3) < 0.4
        pixels = generator.normal(60, 10, (SIZE[1], SIZE[0], 3)) + 110 * tinted
        pixels = pixels.clip(0, 255).astype(np.uint8)
        names.append(f"{number}.png")
        Image.fromarray(pixels).save(folder / names[-1])
        tags.append([name for name, is_in in zip(COLOURS, tinted.tolist(), strict=True) if is_in])
        numbers.append(float(pixels.mean()) / 2.55)
    return names, tags, numbers


def write_tables(folder: Path, count: int, seed: int = 0) -> dict[str, Path]:
    """The same with a table for each kind of task, by its name."""
    names, tags, numbers = write_pictures(folder, count, seed)
    tagged = [f"{name},{';'.join(each) or '[]'}" for name, each in zip(names, tags, strict=True)]
    numbered = [f"{name},{each:.3f}" for name, each in zip(names, numbers, strict=True)]
    tables = {"tags": folder / "tags.csv", "number": folder / "numbers.csv"}
    tables["tags"].write_text("\n".join(["path,tags", *tagged]), encoding="utf-8")
    tables["number"].write_text("\n".join(["path,brightness (%)", *numbered]), encoding="utf-8")
    return tables
