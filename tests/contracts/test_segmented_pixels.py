"""Masks through the whole house: a segmenter made by hand is measured, predicts, is served and streams."""

import base64
import csv
import io
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from chromium import Browser, in_a_browser
from colour_segmenter import LABELS, segmenter, write_pictures
from PIL import Image
from served import serving, starting

import pocketvision
from pocketvision.bundle import Bundle, read_bundle
from pocketvision.cli.main import main
from pocketvision.client import Client
from pocketvision.client.values import prediction_from
from pocketvision.errors import UsageError
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.segmentation import forms
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.wire import schema_of
from pocketvision.workflows.stream import stream


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return segmenter(tmp_path_factory.mktemp("segmenter") / "bundle")


def near_borders(mask: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Where the output's cells of 8 x 6 pixels, and what was stretched, may say something else."""
    found = np.zeros(mask.shape, np.bool_)
    found[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    found[1:] |= mask[1:] != mask[:-1]
    down, across = np.nonzero(found)
    for y, x in zip(down.tolist(), across.tolist(), strict=True):
        found[max(y - 4, 0) : y + 4, max(x - 5, 0) : x + 5] = True
    return found


def test_every_pixel_has_its_class_in_the_picture_s_own_size(bundle: Bundle, tmp_path: Path) -> None:
    masks = write_pictures(tmp_path)
    for mask, result in zip(masks, Predictor(bundle).stream(sorted((tmp_path / "images").iterdir())), strict=True):
        answer = result.answers["segmentation"]
        assert isinstance(answer, Segmentation) and answer.mask is not None and answer.size == (64, 48)
        assert (answer.mask == mask)[~near_borders(mask)].all() and (answer.mask == mask).mean() > 0.9
    assert pocketvision.verify(bundle.folder).images == 2


def test_evaluate_reads_masks_and_writes_figures(bundle: Bundle, tmp_path: Path) -> None:
    masks = write_pictures(tmp_path / "data")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(bundle.folder), str(tmp_path / "data"), "--json", str(tmp_path / "f.json")])
    assert ended.value.code == 0
    own = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert {"miou", "dice", "pixel_accuracy", "boundary_f1", "per_class"} <= set(own)
    assert own["pixels"] == sum(mask.size for mask in masks) and own["images"] == 3
    assert 0.9 < own["miou"] <= own["dice"] <= 1 and own["pixel_accuracy"] > 0.95 and own["boundary_f1"] > 0.8
    assert set(own["per_class"]) == set(LABELS)


def test_masks_are_written_into_a_folder_and_rows_into_a_table(bundle: Bundle, tmp_path: Path) -> None:
    write_pictures(tmp_path / "data")
    answers = {
        Path(each.path).stem: each.answers["segmentation"].mask
        for each in Predictor(bundle).stream(sorted((tmp_path / "data/images").iterdir()))
    }
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(bundle.folder), str(tmp_path / "data/images"), "--out", str(tmp_path / "masks")])
    assert ended.value.code == 0
    for name, mask in answers.items():
        written = Image.open(tmp_path / f"masks/{name}.png")
        assert written.mode == "P" and (np.asarray(written) == mask).all()
    pocketvision.predict(bundle.folder, [tmp_path / "data/images"], out=tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and set(rows[0]["classes"].split(";")) <= set(LABELS)
    assert sum(map(float, rows[0]["shares"].split(";"))) == pytest.approx(1, abs=1e-3)


def test_it_is_served(bundle: Bundle, tmp_path: Path) -> None:
    write_pictures(tmp_path)
    content = (tmp_path / "images/0.png").read_bytes()
    with serving(bundle.folder) as client:
        response = client.post("/predict", content=content, headers={"content-type": "image/png"})
        told = response.json()["predictions"][0]["answers"]["segmentation"]
        asked = client.post("/predict?mask_form=png", content=content, headers={"content-type": "image/png"})
        as_png = asked.json()["predictions"][0]["answers"]["segmentation"]["mask"]
        asked = client.post("/predict?mask_form=polygons", content=content, headers={"content-type": "image/png"})
        polygons = asked.json()["predictions"][0]["answers"]["segmentation"]["mask"]
        bare = client.post("/predict?masks=false", content=content, headers={"content-type": "image/png"})
        assert "mask" not in bare.json()["predictions"][0]["answers"]["segmentation"]
        refused = client.post("/predict?mask_form=gif", content=content, headers={"content-type": "image/png"})
        assert refused.status_code == 422 and "expected rle, png or polygons" in refused.text
        page = client.get("/models").json()["models"][0]["tasks"]["segmentation"]["page"]
        assert "export function over" in client.get(f"/{page.lstrip('/')}").text
    of_the_client = prediction_from(response.json(), 1).answers["segmentation"]
    for form in (told, as_png, polygons):
        jsonschema.Draft202012Validator(schema_of("segmentation")).validate({**told, "mask": form.get("mask", form)})
    expected = Predictor(bundle).answers(tmp_path / "images/0.png")["segmentation"].mask
    assert (forms.from_json(told["mask"]) == expected).all()
    assert as_png["form"] == "png" and (forms.from_json(as_png) == expected).all()
    assert polygons["form"] == "polygons" and (forms.from_json(polygons) == expected).all()
    assert isinstance(of_the_client, Segmentation) and (of_the_client.mask == expected).all()
    assert of_the_client.headline == told["headline"]


def test_a_picture_too_large_for_the_limit_is_a_row_with_an_error(bundle: Bundle, tmp_path: Path) -> None:
    write_pictures(tmp_path / "data", 1)
    summary = pocketvision.predict(
        bundle.folder, [tmp_path / "data/images"], out=tmp_path / "rows.jsonl", max_pixels=3000, tile=32
    )
    row = json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8"))
    assert summary.failed == 1 and "64 x 48 pixels are more than the limit of 3,000" in row["error"]
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(bundle.folder), str(tmp_path / "data/images"), "--max-pixels", "3072", "--tile", "32"])
    assert ended.value.code == 0


def test_a_stream_shows_masks(bundle: Bundle, tmp_path: Path) -> None:
    write_pictures(tmp_path)
    stream(bundle.folder, tmp_path / "images", jsonl=tmp_path / "lines.jsonl", out=tmp_path / "drawn.mp4")
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 3 and all(each["answers"]["segmentation"]["size"] == [64, 48] for each in lines)
    assert (tmp_path / "drawn.mp4").stat().st_size > 500


def test_how_pictures_are_looked_at_is_kept_in_the_bundle(tmp_path: Path) -> None:
    """Measured in tiles and two scales, kept so: predict, serve and stream look the same way. Finer cells, finer borders."""
    bundle = segmenter(tmp_path / "bundle")
    masks = write_pictures(tmp_path / "data")
    asked = ["--tile", "32", "--scales", "1,1.5"]
    figures = []
    for arguments in ([], asked, [*asked, "--keep"], []):
        with pytest.raises(SystemExit) as ended:
            main(
                ["evaluate", str(bundle.folder), str(tmp_path / "data"), "--json", str(tmp_path / "f.json"), *arguments]
            )
        assert ended.value.code == 0
        figures.append(json.loads((tmp_path / "f.json").read_text(encoding="utf-8")))
    whole, tried, kept, later = (each["miou"] for each in figures)
    assert whole < tried == kept == later and figures[3]["decided_by"] == {"tile": 32, "scales": [1.0, 1.5]}
    kept_bundle = read_bundle(bundle.folder)
    first = tmp_path / "data/images/0.png"
    expected = Predictor(kept_bundle).answers(first)["segmentation"].mask
    assert (expected == masks[0]).mean() > (Predictor(bundle).answers(first)["segmentation"].mask == masks[0]).mean()
    pocketvision.predict(bundle.folder, [first], out=tmp_path / "rows.jsonl", masks="polygons")
    row = json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8"))["answers"]["segmentation"]
    assert row["mask"]["form"] == "polygons" and (forms.from_json(row["mask"]) == expected).all()
    assert {each["label"]: each["area"] for each in row["classes"]} == {
        LABELS[value]: int(count) for value, count in zip(*np.unique(expected, return_counts=True), strict=True)
    }
    with serving(bundle.folder) as client:
        response = client.post("/predict", content=first.read_bytes(), headers={"content-type": "image/png"})
    told = response.json()["predictions"][0]["answers"]["segmentation"]
    assert (forms.from_json(told["mask"]) == expected).all()
    stream(bundle.folder, tmp_path / "data/images", jsonl=tmp_path / "lines.jsonl")
    line = json.loads((tmp_path / "lines.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert line["answers"]["segmentation"]["classes"] == told["classes"]
    with pytest.raises(UsageError, match="expected 32 pixels or more"):
        pocketvision.predict(bundle.folder, [first], tile=7)


@pytest.mark.slow
@in_a_browser
def test_the_page_lays_the_mask_over_the_picture(bundle: Bundle, tmp_path: Path, browser: Browser) -> None:
    write_pictures(tmp_path)
    with starting(bundle.folder, tmp_path, "colours") as start:
        url = start().url
        with Client(url) as asking:
            of_the_client = asking.predict(tmp_path / "images/0.png").answers["segmentation"]
        assert isinstance(of_the_client, Segmentation) and of_the_client.mask is not None
        assert (of_the_client.mask == Predictor(bundle)(tmp_path / "images/0.png").mask).all()
        browser.open(url)
        browser.until("document.querySelectorAll('#models option').length === 1")
        content = base64.b64encode((tmp_path / "images/0.png").read_bytes()).decode()
        browser.run(
            f"const shown = Uint8Array.from(atob('{content}'), (sign) => sign.charCodeAt(0));"
            "classify([new File([shown], '0.png', { type: 'image/png' })]); 1"
        )
        browser.until("document.querySelectorAll('#answers .over image').length === 1")
        laid = browser.run("document.querySelector('#answers .over image').getAttribute('href')")
        seen = "getComputedStyle(document.querySelector('#answers .over image')).opacity"
        assert float(str(browser.run(seen))) == pytest.approx(0.55)
        browser.run(
            "const range = document.querySelector('#controls input'); range.value = 0.2;"
            "range.dispatchEvent(new Event('input')); 1"
        )
        assert float(str(browser.run(seen))) == pytest.approx(0.2)
    picture = Image.open(io.BytesIO(base64.b64decode(str(laid).partition(",")[2])))
    assert picture.size == (64, 48) and len(picture.convert("RGB").getcolors() or []) == len(LABELS)
