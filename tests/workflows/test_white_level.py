"""One white for 16-bit pictures, from the data through training and the bundle to every way of asking."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketvision
from pocketvision.bundle import Bundle, read_bundle
from pocketvision.client.images import image_content
from pocketvision.errors import PictureWarning, UsageError
from pocketvision.preprocessing import decode
from pocketvision.runtime.predictor import Predictor
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_log import RunLog
from pocketvision.training.setting_values import changed
from pocketvision.training.training_data import prepare_data


@pytest.fixture(scope="module")
def microscopy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 12-bit pictures in 16 bits."""
    folder = tmp_path_factory.mktemp("microscopy")
    for number in range(24):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        values = np.random.default_rng(number).random((40, 40)) * (4095 if number % 2 else 1500)
        Image.fromarray(values.astype(np.uint16)).save(path)
    return folder


@pytest.fixture
def twelve_bits(tiny_bundle: Bundle) -> Bundle:
    """A bundle whose training had 12-bit pictures."""
    file = tiny_bundle.folder / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    manifest["preprocessing"]["white_level"] = 4095
    file.write_text(json.dumps(manifest), encoding="utf-8")
    return read_bundle(tiny_bundle.folder)


def test_training_data_tells_its_white(microscopy: Path, tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl", lambda _: None)
    options = {"labels": None, "columns": {}, "images": None, "recorded": None}
    options |= {"log": log, "on_event": print}
    assert prepare_data(microscopy, Recipe(), **options).white_level == 4095  # type: ignore[arg-type]
    assert any("16 bits a channel in 24 images: 4095 is white" in note for note in log.notes)
    assert prepare_data(microscopy, changed(Recipe(), {"data.white_level": 16383}), **options).white_level == 16383  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"data\.white_level is 4000; expected 255, 1023, 4095, 16383, 65535"):
        changed(Recipe(), {"data.white_level": 4000})


@pytest.mark.slow
def test_training_writes_it_into_the_bundle(microscopy: Path, tmp_path: Path) -> None:
    result = pocketvision.train(
        microscopy, model="small_cnn", weights="none", size=32, epochs1=1, epochs2=0, views=1, out=tmp_path / "run"
    )
    assert result.bundle.preprocessing.white_level == 4095
    manifest = json.loads((result.bundle.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["preprocessing"]["white_level"] == 4095
    assert any("4095 is white" in note for note in result.notes)


def test_every_way_of_asking_sees_the_same(twelve_bits: Bundle, microscopy: Path) -> None:
    path = microscopy / "b/1.png"
    predictor = Predictor(twelve_bits)
    expected = predictor(path).probabilities
    with Image.open(path) as image:
        as_eight_bits = Image.fromarray((np.asarray(image).astype(int) * 255 / 4095).round().astype(np.uint8))
        assert np.allclose(predictor(image).probabilities, expected)
        assert np.allclose(predictor(image_content(image).content).probabilities, expected)
    assert np.allclose(predictor(np.asarray(as_eight_bits)).probabilities, expected, atol=1e-3)
    assert np.allclose(predictor(path.read_bytes()).probabilities, expected)
    pixels: list[object] = []
    pocketvision.stream(twelve_bits.folder, path.parent, on_answer=lambda shown: pixels.append(shown.answer.pixels))
    assert np.array_equal(np.asarray(pixels[0]), np.asarray(decode(path, white_level=4095)))


def test_a_picture_above_the_white_of_the_bundle_is_warned_of_once(
    twelve_bits: Bundle, microscopy: Path, tmp_path: Path
) -> None:
    for place in range(3):
        Image.fromarray(np.full((40, 40), 4096 + place, np.uint16)).save(tmp_path / f"{place}.png")
    for folder, times in ((microscopy / "b", 0), (tmp_path, 1)):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("default")
            pocketvision.predict(twelve_bits.folder, [folder])
        assert [each.category for each in found] == [PictureWarning] * times
    with pytest.warns(PictureWarning, match="values above 4,095"):
        pocketvision.stream(twelve_bits.folder, tmp_path)
    arguments = [sys.executable, "-m", "pocketvision", "predict", str(twelve_bits.folder), str(tmp_path)]
    shell = subprocess.run(arguments, capture_output=True, text=True, check=True)
    lines = [line for line in shell.stderr.splitlines() if "16-bit" in line]
    assert len(lines) == 1 and lines[0].startswith(
        "Warning: A 16-bit picture has values above 4,095, which is white here"
    )
