"""predict and load: which images are meant, and rows that are written as they come."""

import csv
import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvision.bundle import Bundle
from pocketvision.data.find_images import find_images
from pocketvision.errors import BundleError, PocketVisionError, UsageError
from pocketvision.runtime.predictor import ImageResult
from pocketvision.workflows.load import load
from pocketvision.workflows.predict import predict
from pocketvision.workflows.verify import verify


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with images at several depths, other files, and names in many scripts."""
    root = tmp_path / "photos"
    for name in ("b.png", "a 사진.PNG", "sub/😀.jpg", "sub/deeper/c.webp", ".hidden/d.png", "sub/.e.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (250, 0, 0)).save(root / name)
    (root / "notes.txt").write_text("not an image", encoding="utf-8")
    (root / "sub/broken.jpg").write_text("not an image", encoding="utf-8")
    return root


FOUND = ["a 사진.PNG", "b.png", "sub/broken.jpg", "sub/😀.jpg", "sub/deeper/c.webp"]


def test_folders_globs_files_and_lists(photos: Path, tmp_path: Path) -> None:
    assert [path.relative_to(photos).as_posix() for path in find_images([photos])] == FOUND
    assert len(list(find_images([str(photos / "**" / "*")]))) == 5
    assert [path.name for path in find_images([str(photos / "*.png")])] == ["b.png"]
    missing = tmp_path / "missing.png"
    assert list(find_images([missing, photos / "notes.txt"])) == [missing, photos / "notes.txt"]
    lines = [f"{photos / 'b.png'}\r\n", "\n", f"{photos / 'a 사진.PNG'}"]
    assert list(find_images(["-", missing], lines)) == [photos / "b.png", photos / "a 사진.PNG", missing]


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    path = tmp_path / "photo [1].png"
    path.touch()
    assert list(find_images([str(path)])) == [path]


def test_nothing_found_is_wrong_use(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: there is no image in this folder"):
        list(find_images([tmp_path / "empty"]))
    with pytest.raises(UsageError, match=r"\*\.gif: no image matches this pattern"):
        list(find_images([str(photos / "*.gif")]))
    with pytest.raises(UsageError, match="standard input"):
        list(find_images(["-"]))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_on_standard_input_in_any_encoding(photos: Path, encoding: str, end: str) -> None:
    names = [str(photos / "a 사진.PNG"), str(photos / "b.png"), "missing 사진.png"]
    stream = io.BytesIO((end.join(names) + end + end).encode(encoding))
    assert list(find_images(["-"], stream)) == [Path(name) for name in names]
    assert list(find_images(["-"], ["\ufeff" + names[0], names[1]])) == [Path(name) for name in names[:2]]


def test_paths_that_are_spelt_otherwise_are_found(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decomposed = unicodedata.normalize("NFD", str(photos / "a 사진.PNG"))
    assert list(find_images([decomposed])) == list(find_images(["-"], [decomposed])) == [photos / "a 사진.PNG"]
    monkeypatch.chdir(photos)
    assert list(find_images(["-"], ["sub\\deeper\\c.webp", (photos / "b.png").as_uri()])) == [
        Path("sub/deeper/c.webp"),
        photos / "b.png",
    ]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_picture_on_standard_input_is_answered(tiny_bundle: Bundle, tmp_path: Path, format: str) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (20, 20), (0, 250, 0)).save(picture, format)
    picture.seek(0)
    seen: list[Any] = []
    summary = predict(tiny_bundle.folder, ["-"], lines=picture, out=tmp_path / "a.csv", on_row=seen.append)
    assert (summary.images, summary.failed) == (1, 0)
    assert [(row.path, row.prediction.label) for row in seen] == [("-", "green")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.txt", "\ufeff\nb.png\nc.png\n", r"a list of images \('b.png' …\).*predict BUNDLE - <"),
        ("list", "sub/😀.jpg\n", "a list of images"),
        ("t.csv", "path,label\nb.png,red\n", "a table of images"),
    ],
)
def test_a_list_given_as_a_file_says_where_lists_go(photos: Path, name: str, text: str, message: str) -> None:
    (photos / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        list(find_images([photos / name]))


def test_what_a_search_leaves_out_is_counted(tiny_bundle: Bundle, photos: Path) -> None:
    (photos / "@eaDir").mkdir()
    (photos / "phone.heic").touch()
    summary = predict(tiny_bundle.folder, [photos, str(photos / "*")])
    assert {each.reason: each.count for each in summary.left_out} == {
        "heic": 2,
        "not_an_image": 2,
        "hidden": 1,
        "system_folder": 2,
    }
    assert summary.to_dict()["left_out"][0] == {"reason": "heic", "count": 2, "example": "phone.heic"}


def test_files_of_several_pictures_are_said_once(tiny_bundle: Bundle, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    for name in ("a.gif", "b.png", "c.tif", "d.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    frames[1].save(tmp_path / "e.png")
    labels: list[str | None] = []
    summary = predict(
        tiny_bundle.folder,
        [tmp_path / name for name in ("a.gif", "b.png", "c.tif", "d.webp", "e.png")],
        on_row=lambda row: labels.append(row.prediction.label),
    )
    assert labels == ["red"] * 4 + ["green"]
    first = tmp_path / "a.gif"
    assert summary.notes == (
        f"Of files that hold several pictures (animations, pages) the first one is answered: {first} and 3 more",
    )


@pytest.mark.skipif(not hasattr(os, "setuid") or os.geteuid() != 0, reason="needs root, to give its rights up")
def test_a_folder_that_can_not_be_looked_into_is_no_success(reachable: Path) -> None:
    for name in ("open", "locked"):
        (reachable / name).mkdir()
    (reachable / "open/a.png").touch()
    (reachable / "locked").chmod(0)
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from pocketvision.data.left_out import LeftOutCounter\n"
        "from pocketvision.data.find_images import find_images\n"
        "from pocketvision.workflows.predict import PredictionSummary\n"
        "os.setuid(65534)\n"
        "counter = LeftOutCounter()\n"
        "found = list(find_images([Path(sys.argv[1])], counter=counter))\n"
        "print(len(found), PredictionSummary(1, 0, 1.0, counter.result()).incomplete)\n"
        "try: list(find_images([Path(sys.argv[1]) / 'locked']))\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script, str(reachable)], capture_output=True, text=True, check=True)
    (reachable / "locked").chmod(0o755)
    assert answer.stdout.split() == ["1", "True", "UsageError"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_links_in_folders(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "one.png").symlink_to(photos / "b.png")
    (folder / "loop").symlink_to(folder)
    assert [path.name for path in find_images([folder])] == ["one.png"]


def test_csv(tiny_bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    seen: list[ImageResult] = []
    summary = predict(tiny_bundle.folder, [photos], out=out, on_row=seen.append)
    assert (summary.images, summary.failed) == (5, 1)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "probability", "error"]
    assert [row["path"] for row in rows] == [row.path for row in seen] == [str(photos / name) for name in FOUND]
    assert [row["label"] for row in rows] == ["red", "red", "", "red", "red"]
    assert float(rows[0]["probability"]) > 0.5
    assert "not an image" in rows[2]["error"] and rows[0]["error"] == ""


def test_csv_with_more_labels(tiny_bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    predict(tiny_bundle.folder, [photos], out=tmp_path / "a.csv", top_k=2)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["path", "label", "probability", "label_2", "probability_2", "error"]
    assert {len(line) for line in lines} == {6}
    assert float(lines[1][2]) >= float(lines[1][4])


def test_more_labels_than_classes(tiny_bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    predict(tiny_bundle.folder, [photos], out=tmp_path / "a.csv", top_k=5)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert {len(line) for line in lines} == {1 + 2 * 5 + 1}


def test_json_lines(tiny_bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    predict(tiny_bundle.folder, [photos], out=tmp_path / "one.jsonl")
    predict(tiny_bundle.folder, [photos], out=tmp_path / "two.jsonl", top_k=2)
    one = [json.loads(line) for line in (tmp_path / "one.jsonl").read_text(encoding="utf-8").splitlines()]
    two = [json.loads(line) for line in (tmp_path / "two.jsonl").read_text(encoding="utf-8").splitlines()]
    assert list(one[0]) == ["path", "label", "probability", "answers", "error"]
    assert [row["path"] for row in one] == [str(photos / name) for name in FOUND]
    nothing = {"label": None, "probability": None, "answers": {}}
    assert one[2] == {"path": one[2]["path"], **nothing, "error": one[2]["error"]}
    assert two[0]["top"][0] == ["red", two[0]["probability"]]
    assert len(two[0]["top"]) == 2 and two[2]["top"] == []


def test_rows_are_on_disk_before_the_next_is_asked_for(tiny_bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"

    def stop_after_two(row: ImageResult) -> None:
        lines = out.read_bytes().split(b"\n")
        assert lines[-1] == b"", "the last row is whole"
        assert json.loads(lines[-2])["path"] == row.path
        if len(lines) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(tiny_bundle.folder, [photos], out=out, on_row=stop_after_two)
    assert len(out.read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are not text")
def test_names_that_are_not_text(tiny_bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(photos) + b"/\xff.png"))
    odd.write_bytes((photos / "b.png").read_bytes())
    predict(tiny_bundle.folder, [odd], out=tmp_path / "a.jsonl")
    predict(tiny_bundle.folder, [odd], out=tmp_path / "a.csv")
    assert json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8"))["path"] == str(odd)
    assert os.fsencode(odd) in (tmp_path / "a.csv").read_bytes()


def test_wrong_use(tiny_bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"written as \.csv or \.jsonl; \.xlsx is neither"):
        predict(tiny_bundle.folder, [photos], out=tmp_path / "a.xlsx")
    with pytest.raises(UsageError, match="top_k is 0"):
        predict(tiny_bundle.folder, [photos], top_k=0)
    with pytest.raises(PocketVisionError, match="rows can not be written there"):
        predict(tiny_bundle.folder, [photos], out=photos / "b.png" / "a.csv")
    with pytest.raises(BundleError, match="a bundle is the folder"):
        predict(photos, [photos])


def test_load_and_verify(tiny_bundle: Bundle, photos: Path) -> None:
    predictor = load(tiny_bundle.folder)
    assert predictor(photos / "b.png").label == "red"
    assert predictor(np.full((5, 5, 3), (0, 255, 0), dtype=np.uint8)).label == "green"
    assert verify(str(tiny_bundle.folder)).images == 3
    model = tiny_bundle.path("model.onnx")
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match=r"model\.onnx: the file is damaged: its SHA-256"):
        verify(tiny_bundle.folder)
