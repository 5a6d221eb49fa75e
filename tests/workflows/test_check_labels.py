"""check --label-problems from the command to a table that is read again."""

from pathlib import Path

import numpy as np
import pytest
from bursts import features_of_pixels
from PIL import Image

from pocketvision.cli.main import main
from pocketvision.data.sources.catalog import read_samples
from pocketvision.training import frozen_features

WRONG = "dark/07.png"


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """12 dark and 12 light pictures, and a light one among the dark; features that need no network."""
    random = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 190)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            level_of = 190 if f"{name}/{number:02d}.png" == WRONG else level
            pixels = random.integers(level_of - 50, level_of + 50, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number:02d}.png")
    monkeypatch.setattr(frozen_features, "frozen_features", features_of_pixels)
    return tmp_path / "photos"


def test_a_mended_table_is_read_as_data(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_code(["check", str(photos), "--label-problems", str(tmp_path / "out")]) == 0
    assert "Of 24 labels 1 may be wrong" in " ".join(capsys.readouterr().out.split())
    table = tmp_path / "out" / "labels.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith(f"{WRONG},dark,light,")
    table.write_text("\n".join([lines[0], lines[1].replace(",dark,light,", ",light,light,"), *lines[2:]]), "utf-8")
    read = read_samples(table, images=photos)
    assert len(read) == 24
    assert {read.class_name(place) for place, path in enumerate(read.paths) if path.endswith(WRONG)} == {"light"}
    assert read.class_counts().tolist() == [11, 13]


def test_a_table_that_may_be_mended_is_not_overwritten(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "labels.csv").write_text("path,label\nmine,mine\n", encoding="utf-8")
    assert main_code(["check", str(photos), "--label-problems", str(tmp_path / "out")]) == 2
    assert "never overwritten" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "out" / "labels.csv").read_text(encoding="utf-8") == "path,label\nmine,mine\n"


def test_nothing_is_written_among_the_pictures(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(photos.rglob("*"))
    assert main_code(["check", str(photos), "--label-problems", str(photos / ".")]) == 2
    assert "nothing is written among them" in " ".join(capsys.readouterr().err.split())
    assert sorted(photos.rglob("*")) == before


def main_code(arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code
