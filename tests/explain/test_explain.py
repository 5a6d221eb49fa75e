"""The verb: copies with maps, one page, and what is said of wrong use."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seeing import run

from pocketvision.bundle import Bundle


def test_maps_beside_pictures_on_one_page(mapped: Bundle, picture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("L", (8, 5), 90).save(folder / "grey and small.png")
    Image.fromarray(np.full((50, 40, 4), 120, np.uint8)).save(folder / "alpha.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    result = tmp_path / "found.json"
    assert run("explain", mapped.folder, picture, folder, "--out", tmp_path / "out", "--json", result) == 1
    found = json.loads(result.read_text())
    assert found["method"] == "map" and found["overall"]["maps"] >= 1
    errors = [each for each in found["answers"] if each["error"]]
    assert len(found["answers"]) == 4 and [Path(each["picture"]).name for each in errors] == ["broken.jpg"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert found["text"] in page.replace("&#x27;", "'") and "pool:stage0" in page
    files = re.findall(r'src="([^"]+)"', page)
    assert len(files) == 6 and all((tmp_path / "out" / each.replace("%20", " ")).is_file() for each in files)
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--method", "gradcam"), "Unknown way to explain 'gradcam'. Did you mean grad-cam"),
        (("--method", "grad-cam", "--layer", "stge1"), "Did you mean stage1"),
        (("--method", "occlusion", "--layer", "stage1"), "--layer is for grad-cam"),
        (("--method", "attention-rollout"), "no attention to roll out"),
        (("--class", "lefty"), "Unknown class 'lefty'. Did you mean left"),
        (("--tasks", "detection"), "Unknown task"),
    ],
)
def test_wrong_use(
    arguments: tuple[str, ...],
    words: str,
    plain: Bundle,
    picture: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("explain", plain.folder, picture, "--out", tmp_path / "out", *arguments) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_class_that_was_not_answered(
    plain: Bundle, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("explain", "maps", plain.folder, picture, "--out", out, "--class", "none", "--no-checks") == 0
    assert "none " in capsys.readouterr().out
    assert run("explain", plain.folder, picture, "--out", out) == 2  # nothing is overwritten


def test_without_torch_a_gradient_says_what_to_install(
    plain: Bundle, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pocketvision.explain.watched", None)
    assert run("explain", plain.folder, picture, "--method", "grad-cam", "--out", tmp_path / "out") == 2
    assert "pocketvision[train]" in capsys.readouterr().err
