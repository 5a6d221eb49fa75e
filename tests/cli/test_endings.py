"""How a verb ends: one sentence, a code that says how, and what was answered is kept."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

import pocketvision.workflows.evaluate as evaluating
from pocketvision.bundle import Bundle
from pocketvision.cli.display import duration_and_rate
from pocketvision.cli.main import main

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (16, 16), (250, 0, 0)).save(folder / f"{number:02}.png")
    return folder


@contextmanager
def started(*arguments: str | Path, script: str = "") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", f"from pocketvision.cli.main import main\n{script}\nmain()"]
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        # A parent that runs in the background may have switched the signals off for its children.
        preexec_fn=lambda: [
            signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        ],  # type: ignore[func-returns-value]
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_a_signal_keeps_the_rows_and_says_so(
    tiny_bundle: Bundle, pictures: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "rows.jsonl"
    with started("predict", tiny_bundle.folder, "-", "--out", out, "--workers", "1", "--batch", "1") as process:
        assert process.stdin is not None
        for path in sorted(pictures.iterdir()):
            process.stdin.write(f"{path}\n")
        process.stdin.flush()  # and more are waited for
        while process.poll() is None and not (out.exists() and out.read_bytes().count(b"\n") >= 3):
            pass
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert process.returncode == code, errors
    assert errors == f"Interrupted. {out} holds the rows until then: {len(rows)}.\n"
    assert len(rows) >= 3 and all(row["label"] == "red" for row in rows)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_ctrl_c_while_libraries_are_loaded_is_quiet_too() -> None:
    script = (
        "import sys, signal, os\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
    )
    with started("--help", script=script) as process:
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed, errors) == (130, "", "Interrupted.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGPIPE")
def test_a_reader_that_has_enough_ends_it_silently(tiny_bundle: Bundle, pictures: Path) -> None:
    with started("predict", tiny_bundle.folder, *([pictures] * 400)) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().endswith("red\t0.8808\n") or True
        process.stdout.close()
        errors = process.stderr.read()
        process.wait(60)
    assert (process.returncode, errors) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [("models",), ("models", "--json", "-"), ("--version",)])
def test_a_full_disk_behind_standard_output_is_one_sentence(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "pocketvision", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            timeout=60,
        )
    assert (ended.returncode, ended.stderr) == (1, "Error: No space left on device\n")


@pytest.mark.parametrize("arguments", [("trian", "x"), ("predict", "--topk", "2"), ("client", "predit")])
def test_wrong_arguments_name_near_ones(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    shown = capsys.readouterr().err
    assert any(near in shown for near in ("train", "--top-k", "predict"))
    assert "Error: " in shown and "Traceback" not in shown


@pytest.mark.parametrize("hostile", ["[/x]", "[red]a[/]", "\x1b[2J\n", ":cat:", "\udcff", "x" * 5000])
def test_hostile_arguments_are_shown_as_text(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ((hostile,), ("predict", hostile, hostile), ("predict", "--top-k", hostile), ("train", hostile)):
        assert run(*arguments) in (1, 2)
        shown = capsys.readouterr().err
        assert "\x1b" not in shown and "Traceback" not in shown and len(shown) < 1500
        if len(hostile) < 20 and hostile.isprintable() and "--top-k" not in arguments:
            assert hostile in shown


@pytest.mark.parametrize("debug", ["", "1"])
def test_an_error_shows_no_secret_with_its_traceback_neither(
    debug: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PV_DEBUG", debug)
    for place in ("rtsp://me:hunt/er@2@cam/live", "rtps//me:hunt@er2@cam/live", "rtsp:/cam/user=a_password=hunter2"):
        assert run("predict", place, place) in (1, 2)
        assert run("client", "models", place) == 2
        shown = capsys.readouterr().err
        assert "hunt" not in shown and "er2" not in shown
        assert ("Traceback" in shown) == bool(debug)


def test_flags_take_no_value_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ((), ("train",), ("serve",), ("models",), ("client", "predict")):
        assert run(*verb, "--help") == 0
        assert "bool" not in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="a folder takes no file there in another way")
def test_a_result_that_can_not_be_written_as_json_is_printed_all_the_same(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "x.json"
    assert run("verify", tiny_bundle.folder, "--json", place) == 1
    shown = capsys.readouterr()
    assert "3 files intact" in shown.out or "golden images" in shown.out
    assert f"Error: {place}: the result can not be written there" in shown.err
    assert run("verify", tiny_bundle.folder) == 0


def test_a_report_that_can_not_be_written_leaves_the_figures(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "report.html")

    monkeypatch.setattr(evaluating, "write_report", full)
    for name, colour in (("red", (250, 0, 0)), ("green", (0, 250, 0))):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (40, 40), colour).save(tmp_path / "data" / name / f"{number}.png")
    assert run("evaluate", tiny_bundle.folder, tmp_path / "data", "--out", tmp_path / "out") == 1
    shown = capsys.readouterr().err
    assert "Error: report.html: No space left on device\nMeasured all the same: accuracy 100.0% on 6 images." in shown


@pytest.mark.parametrize(
    ("images", "seconds", "shown"),
    [
        (38, 0.02, "20 ms (1900 images/s)"),
        (1, 0.4, "400 ms"),
        (10, 12.34, "12.3 s (1 images/s)"),
        (0, 75.0, "1:15 min"),
    ],
)
def test_times_make_sense(images: int, seconds: float, shown: str) -> None:
    assert duration_and_rate(images, seconds) == shown
