"""Any name that the system holds is trained on, written, printed and read back the same: one product, walked through.

Folders, files, classes, the run and the outputs bear names that are not UTF-8, hold control characters, line ends, markup,
quotes and blanks at their ends.
"""

import csv
import json
import os
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.cli.main import main
from pocketvision.data.class_names import spelled
from pocketvision.printable import printable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are any bytes")

CLASSES = (b"[red]a[bold]", b"caf\xe9", b"\x1b]0;esc\x07:cat:", b' two\nlines, "q" $x_ ', b"_\xe2\x80\xae<b>")
FILES = (
    b"p.png",
    b"\xfe.png",
    b"n\nl.png",
    b" [b]'\".png",
    b"\x1b[2J.png",
    b"$a\rb.png",
    b"c\xc2\x85,;.png",
    b"\xed\xa0\x80.png",
)


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = os.fsencode(tmp_path_factory.mktemp("data")) + b"/d \xff]"
    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        os.makedirs(root + b"/" + name)  # noqa: PTH103
        for file in FILES:
            pixels = random.integers(0, 40, (32, 32, 3))
            pixels[..., number % 3] += 30 * (number + 1)
            path = root + b"/" + name + b"/" + file
            Image.fromarray(pixels.astype(np.uint8)).save(os.fsdecode(path))
    return Path(os.fsdecode(root))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "[x\udcf0 :cat:\n[b]"
    options = (
        "--size",
        "32",
        "--epochs1",
        "1",
        "--epochs2",
        "1",
        "--views",
        "1",
        "--batch",
        "8",
        "--test-share",
        "0.25",
    )
    assert run("train", data, "--model", "small_cnn", "--weights", "none", *options, "--out", out) == 0
    return out


def names(data: Path) -> set[str]:
    return {str(path) for path in data.rglob("*.png")}


def labels() -> set[str]:
    return {spelled(os.fsdecode(name)) for name in CLASSES}


def test_a_run_holds_every_name_as_it_is(data: Path, trained: Path) -> None:
    manifest = json.loads((trained / "bundle" / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["tasks"]["classification"]["labels"]) == labels()
    metrics = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))
    assert labels() <= _texts(metrics)
    with (trained / "split.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == labels()
    assert {str((trained / row["path"]).resolve()) for row in rows} == names(data)
    log = (trained / "log.jsonl").read_text(encoding="utf-8")
    assert all(json.loads(line) for line in log.splitlines()) and "\x1b" not in log
    json.loads((trained / "audit.json").read_text(encoding="utf-8"))


def _texts(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {text for each in value.values() for text in _texts(each)}
    if isinstance(value, list):
        return {text for each in value for text in _texts(each)}
    return {value} if isinstance(value, str) else set()


def test_the_report_shows_names_as_text(trained: Path) -> None:
    page = (trained / "report.html").read_text(encoding="utf-8")  # it is UTF-8, whatever the names are
    assert printable(page.replace("\n", "")) == page.replace("\n", "")
    seen: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag != "b" or not attrs or dict(attrs).keys() <= {"style"}, (tag, attrs)
            seen.update(text for _, text in attrs if text)

        def handle_data(self, text: str) -> None:
            seen.add(text.strip())

    Reader().feed(page)
    for label in labels():
        assert any(printable(label).strip() in text for text in seen), label


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_rows_are_read_back_the_same(data: Path, trained: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"[rows\udcf1 \x1b\n.{suffix}"
    assert run("predict", trained / "bundle", data, "--out", out, "--top-k", "2") == 0
    if suffix == "csv":
        with out.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = [(row["path"], {row["label"], row["label_2"]}) for row in csv.DictReader(file)]
    else:
        lines = out.read_text(encoding="utf-8").split("\n")[:-1]
        rows = [(row["path"], {label for label, _ in row["top"]}) for row in map(json.loads, lines)]
    assert {path for path, _ in rows} == names(data) and len(rows) == len(names(data))
    assert all(found <= labels() for _, found in rows)


def test_what_is_printed_is_one_line_a_picture(data: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", trained / "bundle", data) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert {line.split("\t")[0] for line in lines} == {printable(name) for name in names(data)}
    assert len(lines) == len(names(data)) and "\x1b" not in shown.out + shown.err
    assert run("check", data) in (0, 1)
    assert run("verify", trained / "bundle") == 0
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err and "\udce9" not in shown.out


def test_a_run_is_measured_and_resumed_by_its_own_files(
    data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ev\udcf0[a]"
    assert run("evaluate", trained / "bundle", data, "--out", out, "--json", "-") == 0
    assert labels() <= _texts(json.loads(capsys.readouterr().out))
    assert (out / "report.html").is_file()
    assert run("evaluate", trained / "bundle", trained / "split.csv", "--split", "test", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["images"] == 10
    assert run("train", "--resume", trained) == 0


def test_a_stream_answers_and_is_kept_under_any_name(data: Path, trained: Path, tmp_path: Path) -> None:
    lines, video = tmp_path / "l[x]\udcf1\n.jsonl", tmp_path / "v\x1b[x]\udcf1.mp4"
    folder = next(path for path in data.iterdir() if "caf" in path.name)
    assert run("stream", trained / "bundle", "--source", folder, "--jsonl", lines, "--out", video) == 0
    answers = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert {answer["label"] for answer in answers} <= labels() and len(answers) == len(FILES)
    assert video.stat().st_size > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([lines.name, video.name])
    assert run("stream", trained / "bundle", "--source", video, "--jsonl", lines) == 0
    assert len(lines.read_text(encoding="utf-8").splitlines()) == len(FILES)
