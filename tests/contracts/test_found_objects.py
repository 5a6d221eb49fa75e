"""Objects through the whole house: a detector made by hand is measured, predicts, is served and streams."""

import base64
import csv
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import httpx
import jsonschema
import numpy as np
import pytest
from chromium import Browser, in_a_browser
from fastapi.testclient import TestClient
from PIL import Image
from served import serving, starting
from square_detector import LABELS, detector, write_pictures

import pocketvision
from pocketvision.bundle import Bundle, read_bundle
from pocketvision.cli.main import main
from pocketvision.data.box_writers.catalog import write_boxes
from pocketvision.data.samples import Samples
from pocketvision.errors import BundleError, UsageError
from pocketvision.evaluation.evaluate import evaluate_predictor
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.comparing import MEASURED
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.draw import class_colour
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.task import Detail, Smoothing
from pocketvision.tasks.wire import schema_of
from pocketvision.workflows.stream import stream

RED, BLUE = range(2)
CELLS = [[(RED, 0, 1), (BLUE, 3, 2)], [(BLUE, 1, 1)], [], [(RED, 2, 2), (RED, 0, 2)]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return detector(tmp_path_factory.mktemp("detector") / "bundle")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures", CELLS)
    return tmp_path / "pictures"


def test_what_is_there_is_found_where_it_is(bundle: Bundle, pictures: Path) -> None:
    truth = write_pictures(pictures, CELLS)
    for number, answer in enumerate(Predictor(bundle).stream(sorted(pictures.iterdir()))):
        found = answer.answers["detection"]
        wanted = truth.rows.row(number)
        assert isinstance(found, Detections)
        by_place = np.lexsort(found.boxes.T)
        expected = np.lexsort(wanted["boxes"].T)
        np.testing.assert_allclose(found.boxes[by_place], wanted["boxes"][expected], atol=1e-3)
        assert found.classes[by_place].tolist() == wanted["classes"][expected].tolist()


def test_it_is_measured(bundle: Bundle, pictures: Path) -> None:
    truth = write_pictures(pictures, CELLS)
    samples = Samples(pictures, [f"{number}.png" for number in range(len(CELLS))], {"detection": truth})
    found = evaluate_predictor(Predictor(bundle, detail=MEASURED), samples).tasks["detection"]
    figures = found.to_dict()
    assert (figures["ap"], figures["ap50"], figures["objects"], figures["mistakes"]) == (1, 1, 5, [])
    assert figures["per_class"]["red"]["recall"] == 1
    other = replace(truth, class_names=("red", "green"))
    with pytest.raises(UsageError, match=r"Unknown class .* 'green'"):
        evaluate_predictor(Predictor(bundle), replace(samples, truth={"detection": other}))


def test_evaluate_reads_boxes_and_writes_figures(bundle: Bundle, tmp_path: Path) -> None:
    """One red square is called blue by who labelled it."""
    truth = write_pictures(tmp_path / "pictures", CELLS)
    classes = truth.classes.copy()
    classes[0], names = BLUE, [f"{number}.png" for number in range(len(CELLS))]
    columns = {**truth.rows.columns, "classes": classes}
    labelled = BoxLabels.flat(truth.rows.offsets, columns, LABELS)
    write_boxes(Samples(tmp_path / "pictures", names, {"detection": labelled}), "coco", tmp_path / "data")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(bundle.folder), str(tmp_path / "data"), "--json", str(tmp_path / "f.json")])
    assert ended.value.code == 0
    own = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    # Blue: two of three are found, by the only detections there are. Red: of two objects both, after one that is called blue.
    assert own["per_class"]["blue"]["ap50"] == pytest.approx(67 / 101)
    assert (own["per_class"]["red"]["recall"], own["per_class"]["red"]["precision"]) == (1, 2 / 3)
    assert {"ap", "ap50", "ap75"} <= set(own) and own["errors"]["class"]["count"] == 1


def test_it_is_verified_and_its_settings_are_checked(bundle: Bundle, tmp_path: Path) -> None:
    assert pocketvision.verify(bundle.folder).images == 2
    manifest = shutil.copytree(bundle.folder, tmp_path / "copy") / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"iou": 0.5', '"iou": 3'), encoding="utf-8")
    with pytest.raises(BundleError, match="iou is 3; expected a number from 0 to 1"):
        read_bundle(tmp_path / "copy")


def test_a_row_an_object_and_a_line_an_image(bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    for name in ("rows.csv", "rows.jsonl"):
        pocketvision.predict(bundle.folder, [pictures], out=tmp_path / name)
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == ["0.png", "0.png", "1.png", "2.png", "3.png", "3.png"]
    assert [row["label"] for row in rows[2:4]] == ["blue", ""]
    assert [float(rows[2][side]) for side in ("x1", "y1", "x2", "y2")] == pytest.approx([32, 0, 64, 32], abs=1e-3)
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    told = [line["answers"]["detection"] for line in lines]
    assert [each["headline"] for each in told] == ["1 red, 1 blue", "1 blue", "no objects", "2 reds"]
    for each in told:
        jsonschema.Draft202012Validator(schema_of("detection")).validate(each)


def test_the_shell_prints_what_was_counted(bundle: Bundle, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(bundle.folder), str(pictures)])
    assert ended.value.code == 0 and "3.png\t2 reds" in capsys.readouterr().out


def test_it_is_served(bundle: Bundle, pictures: Path) -> None:
    with serving(bundle.folder) as client:
        told = asked(client, pictures / "0.png")
        assert [each["label"] for each in told["objects"]] == ["red", "blue"]
        assert told["objects"][0]["box"] == pytest.approx([0, 0, 32, 32], abs=1e-3)
        assert "objects" in json.dumps(client.get("/openapi.json").json())
        page = client.get("/models").json()["models"][0]["tasks"]["detection"]["page"]
        assert "export const cells" in client.get(f"/{page.lstrip('/')}").text


def test_its_tensors_are_asked_for(bundle: Bundle, pictures: Path) -> None:
    """The Open Inference Protocol: boxes and scores before any is suppressed, of preprocessed inputs and of files."""
    files = [base64.b64encode((pictures / f"{number}.png").read_bytes()).decode() for number in range(2)]
    golden = bundle.golden()
    with serving(bundle.folder) as client:
        name = client.get("/models").json()["models"][0]["name"]
        described = client.get(f"/v2/models/{name}").json()
        shapes = {each["name"]: each["shape"] for each in described["outputs"]}
        assert shapes == {"boxes": [-1, 16, 4], "scores": [-1, 16, 2]}
        for tensor in (
            {"datatype": "BYTES", "shape": [2], "data": files},
            {"datatype": "FP32", "shape": [2, 3, 64, 64], "data": golden["images"].ravel().tolist()},
        ):
            sent = {"inputs": [{"name": "images", **tensor}]}
            answer = client.post(f"/v2/models/{name}/infer", json=sent).json()
            told = {each["name"]: np.reshape(each["data"], each["shape"]) for each in answer["outputs"]}
            np.testing.assert_allclose(told["boxes"], golden["boxes"], atol=1e-4)
            if tensor["datatype"] == "FP32":
                np.testing.assert_allclose(told["scores"], golden["scores"], atol=1e-4)
            else:
                assert [*(told["scores"] > 0.5).sum(axis=(1, 2))] == [2, 1]


def test_what_is_usual_is_kept_and_what_is_not_is_counted(bundle: Bundle, tmp_path: Path) -> None:
    """Pictures without objects have nothing to be sure of; drift of the others' confidence is measured from 200 on."""
    cells = [[(RED, number % 4, 1 + number % 2)] if number % 10 else [] for number in range(230)]
    truth = write_pictures(tmp_path / "pictures", cells)
    names = [f"{number}.png" for number in range(len(cells))]
    write_boxes(Samples(tmp_path / "pictures", names, {"detection": truth}), "coco", tmp_path / "data")
    own = shutil.copytree(bundle.folder, tmp_path / "own")
    pocketvision.evaluate(own, tmp_path / "data", baseline=True)
    kept = read_bundle(own).manifest.baseline
    assert (kept["confidence"].images, kept["brightness"].images) == (207, 230)
    with serving(own) as client:
        asked(client, tmp_path / "pictures" / "1.png")
        asked(client, tmp_path / "pictures" / "10.png")
        told = client.get("/metrics").text
        line = next(each for each in told.splitlines() if each.startswith("pocketvision_confidence_count"))
        assert 'task="detection"' in line and line.endswith(" 1.0")


def asked(client: TestClient, picture: Path) -> dict[str, list[dict[str, object]]]:
    response: httpx.Response = client.post(
        "/predict", content=picture.read_bytes(), headers={"content-type": "image/png"}
    )
    answer: dict[str, list[dict[str, object]]] = response.json()["predictions"][0]["answers"]["detection"]
    return answer


def test_a_stream_follows_objects_and_counts_them(bundle: Bundle, tmp_path: Path) -> None:
    """One goes from left to right in steps of its width, another is there all the time."""
    write_pictures(
        tmp_path / "frames", [[(RED, 0, 1), (BLUE, 3, 2)]] * 2 + [[(BLUE, 3, 2)], [(BLUE, 3, 2), (RED, 2, 1)]]
    )
    line = (64.0, 0.0, 64.0, 64.0)
    stream(
        bundle.folder,
        tmp_path / "frames",
        smoothing=Smoothing("majority", 0.1, line=line),
        jsonl=tmp_path / "lines.jsonl",
        out=tmp_path / "drawn.mp4",
    )
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text(encoding="utf-8").splitlines()]
    shown = [each["smooth_answers"]["detection"] for each in lines]
    blue = [each["track"] for one in shown for each in one["objects"] if each["label"] == "blue"]
    assert len(set(blue)) == 1 and len(blue) == 4
    assert all(each["passed"]["line"] == list(line) for each in shown)
    assert (tmp_path / "drawn.mp4").stat().st_size > 500


def test_a_coded_video_is_followed_by_its_own_clock(bundle: Bundle, tmp_path: Path) -> None:
    """Ten frames a second of H.264; a square leaves on the left, another one stays. Nothing is told of what lies beside the
    frame."""
    av = pytest.importorskip("av")
    cells = [[(RED, max(3 - step, 0), 1), (BLUE, 3, 2)] for step in range(4)] + [[(BLUE, 3, 2)]] * 4
    write_pictures(tmp_path / "frames", cells)
    with av.open(str(tmp_path / "street.mp4"), "w") as file:
        coded = file.add_stream("libx264", rate=10)
        coded.width, coded.height, coded.pix_fmt = 128, 64, "yuv420p"
        for number in range(len(cells)):
            picture = Image.open(tmp_path / "frames" / f"{number}.png").convert("RGB")
            file.mux(coded.encode(av.VideoFrame.from_image(picture)))
        file.mux(coded.encode(None))
    stream(
        bundle.folder,
        tmp_path / "street.mp4",
        smoothing=Smoothing("ema", 0.2),
        jsonl=tmp_path / "lines.jsonl",
        out=tmp_path / "drawn.mp4",
    )
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [each["position"] for each in lines] == pytest.approx([step / 10 for step in range(8)])
    shown = [each["smooth_answers"]["detection"]["objects"] for each in lines]
    boxes = np.array([each["box"] for objects in shown for each in objects])
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 128 and boxes[:, 3].max() <= 64
    assert len({each["track"] for objects in shown for each in objects if each["label"] == "blue"}) == 1
    assert [each["label"] for each in shown[-1]] == ["blue"]
    with av.open(str(tmp_path / "drawn.mp4")) as drawn:
        assert len(list(drawn.decode(video=0))) == len(cells)


def test_a_line_needs_something_that_is_followed(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "stream",
                str(tiny_bundle.folder),
                "--source",
                "test-pattern",
                "--count-line",
                "0,0,9,9",
                "--seconds",
                "0.1",
            ]
        )
    assert ended.value.code == 2 and "can only be counted of objects" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["stream", str(tiny_bundle.folder), "--source", "test-pattern", "--count-line", "0,0,9"])
    assert ended.value.code == 2 and "expected two points" in capsys.readouterr().err


def test_callers_choose_how_much_they_want(bundle: Bundle, pictures: Path) -> None:
    picture = pictures / "3.png"
    assert len(Predictor(bundle, detail=Detail(most=1)).answers(picture)["detection"]) == 1
    assert len(Predictor(bundle, detail=Detail(min_score=1.0)).answers(picture)["detection"]) <= 2
    assert Predictor(bundle).answers(picture)["detection"].labels == LABELS


@pytest.mark.slow
def test_predict_draws_on_copies(bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    """Boxes in the colour of their class, in the pictures' own size; two pictures of a name stay two; nothing is overwritten."""
    (pictures / "sub").mkdir()
    shutil.copy(pictures / "0.png", pictures / "sub" / "0.png")
    (pictures / "broken.png").write_bytes(b"no picture")
    before = (pictures / "0.png").read_bytes()
    arguments = ["predict", bundle.folder, pictures, "--out", tmp_path / "rows.csv", "--draw", tmp_path / "drawn"]
    with pytest.raises(SystemExit, match="1"):  # one of them could not be read
        main([str(each) for each in arguments])
    assert sorted(each.name for each in (tmp_path / "drawn").iterdir()) == [
        "0-2.jpg",
        "0.jpg",
        "1.jpg",
        "2.jpg",
        "3.jpg",
    ]
    assert (pictures / "0.png").read_bytes() == before
    with Image.open(tmp_path / "drawn" / "1.jpg") as file, Image.open(pictures / "1.png") as original:
        assert file.size == original.size
        pixels = np.asarray(file).astype(int)
    (left, _, right, bottom), *_ = Predictor(bundle)(pictures / "1.png").boxes.astype(int)
    along = pixels[bottom - 1, left + 2 : right - 2]
    assert np.abs(along - class_colour(BLUE)).max() < 60, along
    with pytest.raises(UsageError, match="nothing is ever overwritten"):
        pocketvision.predict(bundle.folder, [pictures], draw=tmp_path / "drawn")
    picture = io.BytesIO(before)
    with pytest.raises(UsageError, match="standard input"):
        pocketvision.predict(bundle.folder, ["-"], draw=tmp_path / "more", lines=picture)


def test_the_client_writes_the_rows_of_predict(bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    with starting(bundle.folder, tmp_path, "squares") as start:
        server = start()
        rows = {}
        for name, verb in (("client", ["client", "predict", server.url]), ("predict", ["predict", str(bundle.folder)])):
            out = tmp_path / f"{name}.csv"
            with pytest.raises(SystemExit) as ended:
                main([*verb, str(pictures), "--out", str(out)])
            assert ended.value.code == 0
            with out.open(encoding="utf-8", newline="") as file:
                rows[name] = list(csv.DictReader(file))
    assert len(rows["client"]) == 6 and rows["client"][0].keys() == rows["predict"][0].keys()
    for one, other in zip(rows["client"], rows["predict"], strict=True):
        assert (Path(one["path"]).name, one["label"]) == (Path(other["path"]).name, other["label"])
        for cell in ("score", "x1", "y1", "x2", "y2") if one["label"] else ():
            assert float(one[cell]) == pytest.approx(float(other[cell]), abs=0.01)


@pytest.mark.slow
@in_a_browser
def test_the_page_draws_boxes_where_objects_are(
    bundle: Bundle, pictures: Path, tmp_path: Path, browser: Browser
) -> None:
    with starting(bundle.folder, tmp_path, "squares") as start:
        browser.open(start().url)
        browser.until("document.querySelectorAll('#models option').length === 1")
        content = base64.b64encode((pictures / "0.png").read_bytes()).decode()
        browser.run(
            f"const shown = Uint8Array.from(atob('{content}'), (sign) => sign.charCodeAt(0));"
            "classify([new File([shown], '0.png', { type: 'image/png' })]); 1"
        )
        browser.until("document.querySelectorAll('#answers .over rect:not(.behind)').length === 2")
        found = browser.run(
            "JSON.stringify([...document.querySelectorAll('#answers .over rect:not(.behind)')].map((each) => "
            "['x', 'y', 'width', 'height'].map((name) => Math.round(Number(each.getAttribute(name))))))"
        )
        assert json.loads(found) == [[96, 32, 32, 32], [0, 0, 32, 32]]
        # On the screen the first one lies over the picture's left upper quarter of a half.
        picture, box = (
            json.loads(browser.run(f"JSON.stringify(document.querySelector('{each}').getBoundingClientRect())"))
            for each in ("#answers img", "#answers .over rect:nth-of-type(3)")
        )
        scale = min(picture["width"] / 128, picture["height"] / 64)
        left, top = (
            picture["x"] + (picture["width"] - 128 * scale) / 2,
            picture["y"] + (picture["height"] - 64 * scale) / 2,
        )
        assert [box["x"], box["y"], box["width"]] == pytest.approx([left, top, 32 * scale], abs=3)
        # Nothing stands on the picture's lower end, and a class has the colour that Python draws it in.
        caption = json.loads(
            browser.run("JSON.stringify(document.querySelector('#answers figcaption').getBoundingClientRect())")
        )
        assert caption["y"] >= picture["y"] + picture["height"] - 1
        colours = browser.run(
            "JSON.stringify([...document.querySelectorAll('#answers .class')].map((each) => [each.textContent, "
            "getComputedStyle(each.querySelector('.swatch')).backgroundColor]))"
        )
        for words, colour in json.loads(colours):
            name = next(each for each in LABELS if each in words)
            found_colour = [float(part) for part in re.findall(r"[\d.]+", colour)]
            assert found_colour == pytest.approx(class_colour(LABELS.index(name)), abs=2)
        browser.screenshots("objects")
        # Of the camera the frame is shown that the boxes are of.
        browser.run("document.getElementById('camera').click(); 1")
        browser.until("document.querySelector('#stage .view canvas')?.width > 0")
        browser.run("document.getElementById('camera').click(); 1")
        assert browser.run("document.querySelector('#stage canvas') === null")
