"""Build the embedded demo data, src/pocketvision/data/faces/, from emoji packages.

    npm install --prefix DIR --no-save --ignore-scripts \\
        emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0 @lobehub/fluent-emoji-3d@1.1.0 openmoji@17.0.0
    pip install resvg-py
    python scripts/build_faces.py --packages DIR --out src/pocketvision/data/faces

It replaces `teasing/*.png`, `non_teasing/*.png` and `faces.csv` (path, label, group, design, subcategory) in the output
folder and leaves its README and licence texts alone. The same packages give the same table and the same pixels.

Names are the Unicode (CLDR) short names and sub-categories the Unicode ones, both as OpenMoji's data lists them.
"""

import argparse
import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

SIZE = 64

# Design → folder of its drawings under node_modules. Files are named by code point.
DESIGNS = {
    "noto": "emoji-datasource-google/img/google/64",
    "twemoji": "emoji-datasource-twitter/img/twitter/64",
    "fluent": "@lobehub/fluent-emoji-3d/assets",
    "openmoji": "openmoji/color/svg",
}

# What is drawn of an SVG's canvas. OpenMoji leaves a sixth free on every side, where the others fill theirs: in 56 of its 72
# units a face is as large as Fluent's. What reaches beyond, such as the tip of a hand, is cut.
CANVAS, FRAME = 'viewBox="0 0 72 72"', 'viewBox="8 8 56 56"'

# Drawings that Unicode files under faces but that show a thing without a person's expression.
NOT_A_FACE = {"skull", "skull and crossbones", "pile of poo", "alien", "alien monster", "robot"}

# The rule. A face teases if its sub-category is in the first table or its name contains a phrase of the second. Only signs
# that the drawing shows count: what a face means by convention alone (lying, shushing, sarcasm) is not in the picture.
TEASING_SUBCATEGORIES = {"face-tongue": "sticks its tongue out"}
TEASING_NAMES = {
    "winking": "winks",
    "blowing a kiss": "winks and flirts",
    "smirking": "smirks",
    "wry smile": "smirks",
    "smiling face with horns": "is up to mischief",
    "upside-down": "clowns about",
    "grinning": "grins broadly",
    "beaming": "grins broadly",
    "laughing": "laughs at somebody",
    "tears of joy": "laughs at somebody",
    "face with hand over mouth": "giggles behind its hand",
}


@dataclass(frozen=True)
class Face:
    """One face: its name, its sub-category, and design → drawing."""

    name: str
    subcategory: str
    drawings: dict[str, Path]

    @property
    def label(self) -> str:
        return label_of(self.name, self.subcategory)

    def path(self, design: str) -> str:
        """The picture's path in the data folder: class/face-design.png."""
        return f"{self.label}/{self.name.replace(' ', '_')}-{design}.png"


def label_of(name: str, subcategory: str) -> str:
    """The class of a face: "teasing" or "non_teasing"."""
    teasing = subcategory in TEASING_SUBCATEGORIES or any(phrase in name for phrase in TEASING_NAMES)
    return "teasing" if teasing else "non_teasing"


def plain_code(hexcode: str) -> str:
    """Code points in lower case without the emoji presentation selector, which the packages write or leave out."""
    return "-".join(code for code in hexcode.lower().split("-") if code != "fe0f")


def list_faces(modules: Path) -> Iterator[Face]:
    """Every face that all designs draw, in Unicode order."""
    drawings = {
        design: {plain_code(file.stem): file for file in sorted((modules / folder).iterdir())}
        for design, folder in DESIGNS.items()
    }
    for entry in json.loads((modules / "openmoji/data/openmoji.json").read_text(encoding="utf-8")):
        name, subcategory, code = entry["annotation"], entry["subgroups"], plain_code(entry["hexcode"])
        is_face = subcategory.startswith("face-") or subcategory == "cat-face"
        if is_face and name not in NOT_A_FACE and all(code in files for files in drawings.values()):
            yield Face(name, subcategory, {design: files[code] for design, files in drawings.items()})


def encode(source: Path) -> bytes:
    """The drawing as a PNG of SIZE x SIZE with its transparency; one that is this already stays as it is."""
    encoded = source.read_bytes()
    if source.suffix == ".svg":
        import resvg_py

        drawing = source.read_text(encoding="utf-8")
        if drawing.count(CANVAS) != 1:
            raise SystemExit(f"{source}: expected {CANVAS}, once")
        framed = drawing.replace(CANVAS, FRAME)
        encoded = bytes(resvg_py.svg_to_bytes(svg_string=framed, width=SIZE, height=SIZE, skip_system_fonts=True))
    image = Image.open(io.BytesIO(encoded))
    if image.format == "PNG" and image.size == (SIZE, SIZE) and source.suffix == ".png":
        return encoded
    # Pillow resizes with premultiplied alpha, so that invisible colours do not bleed into the edge.
    image = image.convert("RGBA").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    image.save(target, format="PNG", optimize=True)
    return target.getvalue()


def build(modules: Path, out: Path) -> int:
    """Write the pictures and the table; returns how many pictures."""
    for label in ("teasing", "non_teasing"):
        shutil.rmtree(out / label, ignore_errors=True)
        (out / label).mkdir(parents=True)
    count = 0
    with (out / "faces.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("path", "label", "group", "design", "subcategory"))
        for face in list_faces(modules):
            for design, source in face.drawings.items():
                (out / face.path(design)).write_bytes(encode(source))
                table.writerow((face.path(design), face.label, face.name, design, face.subcategory))
                count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--packages", type=Path, required=True, help="the folder given to npm install --prefix")
    parser.add_argument("--out", type=Path, required=True, help="the data folder, src/pocketvision/data/faces")
    arguments = parser.parse_args()
    count = build(arguments.packages / "node_modules", arguments.out)
    print(f"{count} pictures in {arguments.out}")


if __name__ == "__main__":
    main()
