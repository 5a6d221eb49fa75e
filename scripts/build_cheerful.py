"""Build the table of the demo's first question, src/pocketvision/data/faces/cheerful.csv: is a face cheerful or upset?

    python scripts/build_cheerful.py --faces src/pocketvision/data/faces

Columns: path, label, group, face, design. A group is a face and those of the same label that look like it, by frozen
features of EfficientNet-Lite0 (see `look_alikes`). Splits keep a group on one side. It reads faces.csv, which
scripts/build_faces.py wrote.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Chosen by eye among the faces, by what their names say; no cats, for there are too few of them to learn from.
CHEERFUL = """
grinning face, grinning face with big eyes, grinning face with smiling eyes, beaming face with smiling eyes, grinning
squinting face, grinning face with sweat, rolling on the floor laughing, face with tears of joy, slightly smiling
face, smiling face with smiling eyes, smiling face with halo, smiling face with hearts, smiling face with heart-eyes,
star-struck, smiling face, smiling face with open hands, cowboy hat face, smiling face with sunglasses, nerd face,
face with tongue, winking face with tongue, squinting face with tongue, zany face, face savoring food, winking face,
money-mouth face
"""
UPSET = """
pensive face, worried face, slightly frowning face, frowning face, sad but relieved face, crying face, loudly crying
face, disappointed face, downcast face with sweat, weary face, tired face, confounded face, persevering face, pleading
face, confused face, face with steam from nose, enraged face, angry face, face with symbols on mouth, angry face with
horns, unamused face, frowning face with open mouth, anguished face, fearful face, anxious face with sweat, face
screaming in fear, face with thermometer, face with head-bandage, nauseated face, face vomiting
"""

SIZE = 128
STAGES = (3, 5)
GRID = 4
ALIKE = 0.5


def faces_by_label() -> dict[str, tuple[str, ...]]:
    """Label → names of its faces."""
    texts = {"cheerful": CHEERFUL, "upset": UPSET}
    return {label: tuple(" ".join(text.split()).split(", ")) for label, text in texts.items()}


def read_paths(table: Path) -> dict[str, dict[str, str]]:
    """Face → design → path in the folder, of all faces of faces.csv."""
    paths: dict[str, dict[str, str]] = {}
    with table.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            paths.setdefault(row["group"], {})[row["design"]] = row["path"]
    return paths


def frozen_features(files: list[Path]) -> NDArray[np.float32]:
    """(n, d): what STAGES of the pre-trained network give, averaged over a grid of GRID x GRID."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    from pocketvision.models.weights import load_pretrained

    pretrained = load_pretrained("efficientnet_lite0", "auto")
    preprocessing = pretrained.preprocessing.with_size(SIZE)
    network = pretrained.network.eval()
    kept: dict[int, torch.Tensor] = {}
    for stage in STAGES:
        network.stages[stage].register_forward_hook(
            lambda _module, _inputs, output, stage=stage: kept.__setitem__(stage, adaptive_avg_pool2d(output, GRID))
        )
    rows = []
    with torch.inference_mode():
        for file in files:
            network(torch.from_numpy(preprocessing(file))[None])
            rows.append(torch.cat([kept[stage].flatten() for stage in STAGES]).numpy())
    return np.stack(rows)


def likeness(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, n) cosines between rows of (n, d), each feature standardised over the rows."""
    rows = (features - features.mean(0)) / (features.std(0) + 1e-3)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows @ rows.T, dtype=np.float32)


def joined(alike: NDArray[np.bool_]) -> list[int]:
    """(n) the first row that each row is linked to, over any number of links; alike: (n, n), symmetric."""
    first = list(range(len(alike)))
    for a, b in np.argwhere(alike):
        low, high = sorted((first[a], first[b]))
        first = [low if each == high else each for each in first]
    return first


def look_alikes(folder: Path, paths: dict[str, dict[str, str]], labels: dict[str, str]) -> dict[str, str]:
    """Face → the group's name, which is that of its first face.

    Two faces of one label are alike where their features' cosine, averaged over the designs, is at least ALIKE; groups are what
    hangs together by that.
    """
    faces = list(labels)
    designs = list(paths[faces[0]])
    mean = np.mean(
        [likeness(frozen_features([folder / paths[face][design] for face in faces])) for design in designs], axis=0
    )
    same = np.array([[labels[a] == labels[b] for b in faces] for a in faces])
    return {face: faces[first] for face, first in zip(faces, joined((mean >= ALIKE) & same), strict=True)}


def build(folder: Path, out: Path) -> int:
    """Write the table; returns how many groups it has."""
    paths = read_paths(folder / "faces.csv")
    labels = {face: label for label, faces in faces_by_label().items() for face in faces}
    groups = look_alikes(folder, paths, labels)
    with out.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("path", "label", "group", "face", "design"))
        for face, label in labels.items():
            for design, path in paths[face].items():
                table.writerow((path, label, groups[face], face, design))
    return len(set(groups.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--faces", type=Path, required=True, help="the data folder, src/pocketvision/data/faces")
    folder: Path = parser.parse_args().faces
    print(f"{build(folder, folder / 'cheerful.csv')} groups in {folder / 'cheerful.csv'}")


if __name__ == "__main__":
    main()
