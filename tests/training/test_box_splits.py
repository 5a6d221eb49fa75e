"""The split of pictures with boxes: by image, by the boxes of each class, groups whole, backgrounds spread; and it is said."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.boxes.places import folders_in
from pocketvision.errors import UsageError
from pocketvision.progress import Event, Note
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_log import RunLog
from pocketvision.training.setting_values import changed
from pocketvision.training.training_data import TrainingData, prepare_data

COUNT = 90
RECIPE = changed(Recipe(seed=1), {"data.test_share": 0.2, "data.workers": 0})


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, no two alike: 20 backgrounds, 70 pictures with one to eight boxes of a, and of b on every fifth. Ten places."""
    folder = tmp_path_factory.mktemp("boxes")
    random = np.random.default_rng(0)
    lines = ["path,label,x1,y1,x2,y2,place"]
    for number in range(COUNT):
        name = f"place{number % 10}/{number}.png"
        (folder / name).parent.mkdir(exist_ok=True)
        noise = Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8))
        noise.resize((40, 40), Image.Resampling.BICUBIC).save(folder / name)
        boxes = 0 if number < 20 else number % 8 + 1
        lines += [
            f"{name},{'b' if number % 5 == 0 and not n else 'a'},{n},{n},30,{31 + n},{number % 10}"
            for n in range(boxes)
        ]
        lines += [] if boxes else [f"{name},,,,,,{number % 10}"]
    (folder / "boxes.csv").write_text("\n".join(lines))
    return folder / "boxes.csv"


def prepared(data: Path, tmp_path: Path, **settings: object) -> tuple[TrainingData, list[str]]:
    notes: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    recipe = changed(RECIPE, {name.replace("__", "."): value for name, value in settings.items()})
    log = RunLog(tmp_path / "log.jsonl", note)
    return prepare_data(
        data, recipe, labels=None, columns={}, images=None, recorded=None, log=log, on_event=note
    ), notes


def shares(data: TrainingData, counts: np.ndarray) -> np.ndarray:
    """Of what each image has `counts` of, the share in each part."""
    splits = data.samples.splits
    assert splits is not None
    return np.bincount(splits, weights=counts, minlength=3) / counts.sum()


def truth_of(data: TrainingData) -> BoxLabels:
    truth = data.samples.truth[DETECTION]
    assert isinstance(truth, BoxLabels)
    return truth


def test_classes_backgrounds_and_images_are_spread(table: Path, tmp_path: Path) -> None:
    data, notes = prepared(table, tmp_path)
    truth, wanted = truth_of(data), pytest.approx([0.6, 0.2, 0.2], abs=0.04)
    assert data.samples.class_names == ("a", "b") and len(data.samples) == COUNT
    for place in range(2):
        per_image = np.bincount(truth.images, weights=truth.classes == place, minlength=COUNT)
        assert shares(data, per_image) == wanted
    assert shares(data, (truth.rows.lengths == 0).astype(float)) == wanted and shares(data, np.ones(COUNT)) == wanted
    (note,) = [each for each in notes if each.startswith("Split by image")]
    counts = [(data.samples.splits == place).sum() for place in range(3)]
    assert f"train {counts[0]} images with " in note and f" and 12 backgrounds, val {counts[1]} images" in note
    assert "of each class's objects" in note and "Kept together" not in note


@pytest.mark.parametrize("group", ["place", r"place(\d)/"])
def test_groups_stay_whole(group: str, table: Path, tmp_path: Path) -> None:
    data, notes = prepared(table, tmp_path, data__group=group)
    parts = {
        (path.split("/")[0], int(split)) for path, split in zip(data.samples.paths, data.samples.splits, strict=True)
    }
    assert len(parts) == 10 and {split for _, split in parts} == {0, 1, 2}
    assert any("Kept together: 10 sets of duplicates or of one group." in each for each in notes)
    with pytest.raises(UsageError, match="Unknown group 'places'"):
        prepared(table, tmp_path, data__group="places")


def test_copies_and_near_copies_stay_together_by_themselves(table: Path, tmp_path: Path) -> None:
    """`auto`: a copy, one saved anew, and two that were augmented before they came, told by their names."""
    folder = tmp_path / "copied"
    lines = table.read_text().splitlines()
    for place in folders_in(table.parent):
        (folder / place.name).mkdir(parents=True)
        for file in place.iterdir():
            (folder / place.name / file.name).write_bytes(file.read_bytes())
    for number, name in (
        (20, "copy.png"),
        (21, "copy.jpg"),
        (22, f"a_png.rf.{22:032x}.png"),
        (23, f"a_png.rf.{23:032x}.png"),
    ):
        source = folder / f"place{number % 10}/{number}.png"
        Image.open(source).save(folder / name, **({"quality": 97} if name.endswith("jpg") else {}))
        lines += [f"{name},a,0,0,30,31,"]
    (folder / "boxes.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    for seed in range(3):
        data, notes = prepared(folder / "boxes.csv", tmp_path, seed=seed)
        split_of = dict(zip(data.samples.paths, data.samples.splits.tolist(), strict=True))
        assert split_of["copy.png"] == split_of["place0/20.png"] and split_of["copy.jpg"] == split_of["place1/21.png"]
        assert split_of[f"a_png.rf.{22:032x}.png"] == split_of[f"a_png.rf.{23:032x}.png"]
        assert any("Kept together: 3 sets" in each for each in notes)
