"""stream: the verb and the function, on real files, with a tiny bundle."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.bundle import Bundle
from pocketvision.cli.main import main
from pocketvision.errors import UsageError
from pocketvision.runtime.predictor import Predictor
from pocketvision.streaming.pattern import draw
from pocketvision.workflows.stream import Smoothing, stream
from pocketvision.workflows.stream_lines import StreamAnswer


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
