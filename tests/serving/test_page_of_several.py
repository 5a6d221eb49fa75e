"""The page where several models are served: what each says of one picture, tasks on and off, a second look, milliseconds by
part."""

import base64
from pathlib import Path

import pytest
from chromium import Browser, in_a_browser
from colour_segmenter import segmenter
from fastapi.testclient import TestClient
from PIL import Image
from served import starting
from square_detector import detector, write_pictures

from pocketvision.bundle import Bundle
from pocketvision.serving.app import create_app
from pocketvision.serving.models import BundleSource

SWITCH = "document.querySelector('#tasks input[name={}]')"


def test_models_say_which_tasks_find_things(shared_bundle: Bundle, tmp_path: Path) -> None:
    bundles = {"colours": shared_bundle, "squares": detector(tmp_path / "det"), "pixels": segmenter(tmp_path / "seg")}
    with TestClient(create_app([BundleSource(name, each.folder) for name, each in bundles.items()])) as client:
        told = {each["name"]: each["tasks"] for each in client.get("/models").json()["models"]}
    assert {name: [(task["finds"], task["in_pixels"]) for task in tasks.values()] for name, tasks in told.items()} == {
        "colours": [(False, False)],
        "squares": [(True, True)],
        "pixels": [(False, True)],
    }


def dropped(browser: Browser, picture: Path, answers: int) -> None:
    content = base64.b64encode(picture.read_bytes()).decode()
    file = (
        f"new File([Uint8Array.from(atob('{content}'), c => c.charCodeAt(0))], '{picture.name}', {{type: 'image/png'}})"
    )
    browser.run(f"classify([{file}])")
    browser.until(f"document.querySelectorAll('#answers li').length === {answers}")


def seen(browser: Browser, selector: str) -> str:
    text = browser.run(f"document.querySelector({selector!r}).innerText")
    assert isinstance(text, str)
    return text


@pytest.mark.slow
@in_a_browser
def test_classes_boxes_and_masks_of_one_picture(shared_bundle: Bundle, tmp_path: Path, browser: Browser) -> None:
    squares, pixels = detector(tmp_path / "det").folder, segmenter(tmp_path / "seg").folder
    write_pictures(tmp_path / "pictures", [[(0, 0, 1), (1, 2, 2), (0, 3, 1)]])
    picture = tmp_path / "pictures/0.png"
    with Image.open(picture) as small:
        small.resize((640, 320), Image.Resampling.NEAREST).save(picture)
    with starting(shared_bundle.folder, tmp_path, name="colours") as start:
        browser.open(start(f"squares={squares}", f"pixels={pixels}").url)
        browser.until("document.querySelectorAll('#tasks input').length === 3")
        assert browser.run("document.getElementById('models').value") == "all"
        browser.screenshots("several-models-start")
        browser.run("document.getElementById('then').value = 'colours'")
        dropped(browser, picture, 1)
        first = "#answers li:first-child"
        browser.until(f"document.querySelectorAll('{first} .over rect').length === 6")
        assert browser.run(f"document.querySelectorAll('{first} .over image').length") == 1
        assert "2 × red, 1 × blue" in seen(browser, first) and "red 98 % → red" in seen(browser, first)
        assert "파랑" in seen(browser, first), "the class of the whole picture"
        browser.run(f"document.querySelector('{first} .times').open = true")
        parts = browser.run(f"[...document.querySelectorAll('{first} .part span')].map(each => each.textContent)")
        assert parts == ["decoding", "colours", "squares", "pixels", "Look again at each object (3)"]
        browser.screenshots("several-models")
        browser.run(f"{SWITCH.format('segmentation')}.click()")
        dropped(browser, picture, 2)
        assert browser.run(f"document.querySelectorAll('{first} .over image').length") == 0
        browser.run(f"{SWITCH.format('detection')}.click(); {SWITCH.format('classification')}.click()")
        assert browser.run(f"{SWITCH.format('classification')}.checked") is True, "the last one stays on"
        assert browser.run("question().tasks") == ["classification"]
        browser.run("document.getElementById('camera').click()")
        browser.until("document.querySelectorAll('#seen meter').length === 3")
        assert browser.run("document.querySelectorAll('#over *').length") == 0
        browser.run(f"{SWITCH.format('segmentation')}.click()")  # in mid-stream
        browser.until("document.querySelectorAll('#over image').length === 1")
        assert "decoding" in seen(browser, "#seen .times") and " ms" in seen(browser, "#seen .times")
        browser.screenshots("several-models-camera")
        browser.run(f"{SWITCH.format('segmentation')}.click()")
        browser.until("document.querySelectorAll('#over image').length === 0")
        browser.run("document.getElementById('camera').click()")
        browser.run("document.getElementById('language').onchange({target: {value: 'ko'}})")
        assert "물체마다 다시 보기" in seen(browser, "#again") and "대답할 작업" in seen(browser, "#switches")
