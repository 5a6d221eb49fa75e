"""check --groups on pictures: four views each of the demo's faces, whose groups are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from pocketvision.cli.main import main
from pocketvision.data import demo_faces
from pocketvision.data.samples import Samples
from pocketvision.training import frozen_features

VIEWS = 4


@pytest.fixture(scope="module")
def bursts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 faces in two classes by chance, four crops of each in other light, under names that tell nothing."""
    folder, random = tmp_path_factory.mktemp("bursts"), np.random.default_rng(0)
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


@pytest.mark.slow
def test_check_finds_the_bursts_and_says_what_a_random_split_hides(
    bursts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main_code(["check", str(bursts), "--groups", "--json", str(tmp_path / "audit.json")])
    printed = " ".join(capsys.readouterr().out.split())
    found = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))["likely_groups"]
    assert 32 <= found["groups"] <= 48
    assert found["with_twin"] > 0.8 * 160
    assert found["all"]["share"] > found["grouped"]["share"] + 0.12
    assert "A random split has a picture of the same group in training for" in printed
    assert "Split by these groups, it is right on" in printed


def test_what_is_found_is_printed_and_in_the_json(
    bursts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By features of another kind, which need no network: the pictures themselves, at 8 pixels."""

    def tiny(samples: Samples, **_: object) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        pictures = [Image.open(samples.file(index)).resize((8, 8)) for index in range(len(samples))]
        features = np.stack([np.asarray(picture, np.float32).reshape(-1) for picture in pictures])
        return features, np.ones(len(samples), np.bool_)

    monkeypatch.setattr(frozen_features, "frozen_features", tiny)
    main_code(["check", str(bursts), "--groups", "--json", str(tmp_path / "audit.json")])
    printed = " ".join(capsys.readouterr().out.split())
    found = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))["likely_groups"]
    assert found["groups"] > 10
    assert found["images_in_groups"] > found["with_twin"] > 40
    assert f"{found['images_in_groups']} of 160 images likely belong to {found['groups']} groups" in printed
    assert "A random split has a picture of the same group in training" in printed


def test_without_the_option_nothing_is_said_of_groups(bursts: Path, tmp_path: Path) -> None:
    main_code(["check", str(bursts), "--json", str(tmp_path / "audit.json")])
    assert json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))["likely_groups"] is None


def main_code(arguments: list[str]) -> None:
    """Run a command; whatever the audit finds beside (near-duplicates) may end it with 1."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, 1)
