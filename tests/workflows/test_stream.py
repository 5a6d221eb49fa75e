"""stream: the verb and the function, on real files, with a tiny bundle."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.bundle import Bundle
from pocketvision.cli.main import main
from pocketvision.cli.stream import parse_duration, parse_size
from pocketvision.errors import SourceError, UsageError
from pocketvision.runtime.predictor import Predictor
from pocketvision.streaming.frame import SourceFrame
from pocketvision.streaming.lines import StreamAnswer
from pocketvision.streaming.pattern import draw
from pocketvision.streaming.sources import SOURCES, SourceKind
from pocketvision.workflows.stream import Smoothing, stream


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, colour in enumerate([(220, 30, 40), (20, 200, 60), (10, 40, 240)] * 4):
        Image.new("RGB", (40, 30), colour).save(folder / f"{index}.png")
    (folder / "5.png").write_text("no picture")
    return folder


def test_a_folder_is_answered_as_the_predictor_answers(tiny_bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    summary = stream(tiny_bundle.folder, pictures, jsonl=out, top_k=2)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [Path(row["path"]).name for row in rows] == [f"{index}.png" for index in range(12)]
    assert [row["label"] for row in rows[:6]] == ["red", "green", "파랑", "red", "green", None]
    assert "not an image" in rows[5]["error"]
    predictor = Predictor(tiny_bundle)
    for row in rows[:5]:
        assert row["probability"] == pytest.approx(predictor(row["path"]).probability, abs=1e-6)
        assert row["top"][0] == [row["label"], row["probability"]]
    assert (summary.read, summary.answered, summary.failed, summary.dropped) == (12, 12, 1, 0)
    assert summary.ended_by == "end"


def test_files_of_several_pictures_are_said_once(tiny_bundle: Bundle, pictures: Path) -> None:
    frame = Image.new("RGB", (40, 30), (220, 30, 40))
    for name in ("20.gif", "21.tif"):
        frame.save(pictures / name, save_all=True, append_images=[Image.new("RGB", (40, 30), (1, 2, 3))])
    notes: list[str] = []
    assert stream(tiny_bundle.folder, pictures, on_note=notes.append).answered == 14
    assert notes == ["Files of several pictures (animations, pages) are answered by their first one"]


def test_video_becomes_video_and_lines(tiny_bundle: Bundle, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    source, out = tmp_path / "pattern.mp4", tmp_path / "answered.mp4"
    stream(tiny_bundle.folder, "test-pattern", fps=20, seconds=1, out=source)
    shown: list[StreamAnswer] = []
    summary = stream(
        tiny_bundle.folder,
        source,
        crop="100,50,301,200",
        out=out,
        on_answer=shown.append,
        smoothing=Smoothing("majority", 0.3, 0.1),
    )
    assert summary.answered == summary.read == len(shown) > 5
    with av.open(str(out)) as file:
        frames = list(file.decode(video=0))
    assert len(frames) == summary.answered
    assert (frames[0].width, frames[0].height) == (300, 200)
    assert all(answer.smoothed for answer in shown)


def test_smoothing_holds_the_label(tiny_bundle: Bundle, pictures: Path) -> None:
    labels: list[str | None] = []
    stream(
        tiny_bundle.folder, pictures, smoothing=Smoothing("ema", 10, 0.5), on_answer=lambda a: labels.append(a.label)
    )
    assert set(labels) == {"red"}


def test_a_file_has_no_latency_and_a_live_source_has(tiny_bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    summary = stream(tiny_bundle.folder, pictures, jsonl=tmp_path / "a.jsonl")
    assert summary.latency_ms_p50 is None
    assert summary.inference_ms_p50 is not None
    assert summary.speed is None  # a folder is no video
    assert all(json.loads(line)["latency_ms"] is None for line in (tmp_path / "a.jsonl").read_text().splitlines())
    stream(tiny_bundle.folder, "test-pattern", seconds=0.3, jsonl=tmp_path / "b.jsonl")
    assert all(json.loads(line)["latency_ms"] > 0 for line in (tmp_path / "b.jsonl").read_text().splitlines())


def test_one_frame_a_period_is_answered(
    tiny_bundle: Bundle, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("stream", tiny_bundle.folder, "--source", pictures, "--fps", "2", "--every", "2s", "--jsonl", "-") == 0
    printed = capsys.readouterr()
    assert [json.loads(line)["frame"] for line in printed.out.splitlines()] == [0, 4, 8]
    assert "12 frames read, 3 answered (0 could not be), 0 dropped, 9 skipped" in printed.err
    for text, seconds in (("2s", 2), ("500ms", 0.5), ("1.5m", 90), ("3", 3), (" 1 h ", 3600)):
        assert parse_duration(text) == seconds
    for text in ("soon", "2 weeks", "-1s", ""):
        with pytest.raises(UsageError, match="expected a time such as 2s"):
            parse_duration(text)
    assert parse_size("640x480") == parse_size("640 X 480") == (640, 480)
    assert run("stream", tiny_bundle.folder, "--source", "0", "--camera-size", "large") == 2


def test_a_folders_images_that_the_crop_does_not_fit_into_are_lines_with_an_error(
    tiny_bundle: Bundle, pictures: Path
) -> None:
    Image.new("RGB", (9, 9)).save(pictures / "0.png")
    Image.new("RGB", (9, 9)).save(pictures / "7.png")
    errors: list[str | None] = []
    summary = stream(
        tiny_bundle.folder, pictures, crop="5,5,20,20", on_answer=lambda shown: errors.append(shown.answer.error)
    )
    assert summary.ended_by == "end"
    assert [place for place, error in enumerate(errors) if error is not None] == [0, 5, 7]
    assert "9 pixels wide and 9 high" in str(errors[0])


@pytest.mark.parametrize("verb", [True, False])
def test_what_was_answered_is_kept_when_the_source_fails_in_the_middle(
    verb: bool, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    av = pytest.importorskip("av")

    def breaking(*_: object) -> Iterator[SourceFrame]:
        for index in range(5):
            yield SourceFrame(lambda index=index: draw(index), index / 10)  # type: ignore[misc]
        raise SourceError("visit.mp4: the disk was pulled out")

    kind = SourceKind("a video file", lambda _: True, breaking)
    monkeypatch.setitem(SOURCES, "test pattern", kind)  # the first row
    out, lines, ends = tmp_path / "answered.mp4", tmp_path / "a.jsonl", []
    if verb:
        arguments = (
            "--source",
            "visit.mp4",
            "--policy",
            "wait",
            "--out",
            out,
            "--jsonl",
            lines,
            "--json",
            tmp_path / "sum.json",
        )
        assert run("stream", tiny_bundle.folder, *arguments) == 1
        printed = capsys.readouterr().err
        assert "5 frames read, 5 answered" in printed
        assert "visit.mp4: the disk was pulled out" in printed
        assert json.loads((tmp_path / "sum.json").read_text())["ended_by"] == "error"
    else:
        with pytest.raises(SourceError, match="pulled out"):
            stream(tiny_bundle.folder, "visit.mp4", policy="wait", out=out, jsonl=lines, on_end=ends.append)
        assert [(end.ended_by, end.answered) for end in ends] == [("error", 5)]
    assert len(lines.read_text().splitlines()) == 5
    with av.open(str(out)) as file:
        assert sum(1 for _ in file.decode(video=0)) == 5


def test_a_bare_video_stream_is_answered_to_its_end(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    av = pytest.importorskip("av")
    source, out = tmp_path / "raw.h264", tmp_path / "answered.mp4"
    with av.open(str(source), "w", format="h264") as file:
        coder = file.add_stream("libx264", rate=10)
        coder.width, coder.height, coder.pix_fmt = 64, 48, "yuv420p"
        for _ in range(20):
            file.mux(coder.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")))
        file.mux(coder.encode(None))
    assert (
        run("stream", tiny_bundle.folder, "--source", source, "--out", out, "--rate", "10", "--jsonl", tmp_path / "a")
        == 0
    )
    printed = capsys.readouterr().err
    assert printed.count("it has no timestamps; it is played at 10 pictures a second") == 1
    assert "20 frames read, 20 answered" in printed
    assert "times real time" in printed
    with av.open(str(out)) as file:
        frames = list(file.decode(video=0))
    assert len(frames) == 20
    assert frames[-1].time == pytest.approx(1.9, abs=0.01)


def test_time_ends_a_source_without_end(tiny_bundle: Bundle) -> None:
    summary = stream(tiny_bundle.folder, "test-pattern", seconds=0.5, fps=50)
    assert summary.ended_by == "time"
    assert summary.answered > 3
    assert summary.latency_ms_p50 is not None


@pytest.mark.parametrize(
    "options",
    [
        {"source": "nowhere.mp4"},
        {"source": "test-pattern", "crop": "600,0,100,10"},
        {"source": "test-pattern", "policy": "oldest"},
        {"source": "tcp://127.0.0.1:9", "policy": "wait"},
        {"source": "test-pattern", "fps": 0},
        {"source": "test-pattern", "fps": 1e-300},
        {"source": "test-pattern", "fps": 1e300},
        {"source": "test-pattern", "fps": float("nan")},
        {"source": "test-pattern", "out": "film.avi"},
        {"source": "test-pattern", "smoothing": Smoothing("mean")},
        {"source": "test-pattern", "every": 0},
        {"source": "test-pattern", "rate": -1},
        {"source": "test-pattern", "camera_size": (640, 480)},
        {"source": "0", "camera_size": (0, 480)},
        {"source": "0", "camera_rate": 0},
        {"source": "0", "open_timeout": 0},
        {"source": "0", "read_timeout": float("inf")},
    ],
    ids=str,
)
def test_wrong_use_is_refused(tiny_bundle: Bundle, options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        stream(tiny_bundle.folder, seconds=5, **options)  # type: ignore[arg-type]


def test_an_empty_folder_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="there is no image"):
        stream(tiny_bundle.folder, tmp_path / "empty")


def test_the_verb_prints_lines_and_a_summary(
    tiny_bundle: Bundle, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("stream", tiny_bundle.folder, "--source", pictures, "--jsonl", "-", "--json", tmp_path / "sum.json") == 0
    printed = capsys.readouterr()
    assert [json.loads(line)["frame"] for line in printed.out.splitlines()] == list(range(12))
    assert "12 frames read, 12 answered (1 could not be), 0 dropped" in printed.err
    assert json.loads((tmp_path / "sum.json").read_text())["answered"] == 12
    assert run("stream", tiny_bundle.folder, "--source", "test-pattern", "--crop", "0,0,9999,1") == 2
    assert "640 pixels wide and 480 high" in capsys.readouterr().err
    assert run("stream", tiny_bundle.folder, "--source", "987") == 1
    assert "Tried 3 times" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_whole_files_and_a_summary(
    tiny_bundle: Bundle, tmp_path: Path, number: signal.Signals
) -> None:
    av = pytest.importorskip("av")
    out = tmp_path / "answered.mp4"
    command = [sys.executable, "-m", "pocketvision", "stream", str(tiny_bundle.folder)]
    process = subprocess.Popen(
        [*command, "--source", "test-pattern", "--jsonl", "-", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    for _ in range(10):
        process.stdout.readline()
    process.send_signal(number)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "frames read" in errors
    assert "Traceback" not in errors
    assert all(json.loads(line) for line in printed.splitlines())
    with av.open(str(out)) as file:
        assert sum(1 for _ in file.decode(video=0)) >= 10


def test_frames_are_preprocessed_like_files(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """The same pixels give the same answer from a video's frame and from a file."""
    pixels = draw(3)
    Image.fromarray(pixels).save(tmp_path / "frame.png")
    predictor = Predictor(tiny_bundle)
    np.testing.assert_array_equal(predictor(pixels).probabilities, predictor(tmp_path / "frame.png").probabilities)
