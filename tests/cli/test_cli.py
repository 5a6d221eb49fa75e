"""The command line: exit codes, what is printed where, JSON, and that no mistake of a user's shows a traceback."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pocketvision.bundle import Bundle
from pocketvision.cli.main import main
from pocketvision.data.demo_faces import faces_folder
from pocketvision.runtime import predictor
from pocketvision.runtime.backends import Backend
from pocketvision.workflows.training_run import TrainResult


def run(*arguments: str | Path | int) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    "verb", ["demo", "check", "train", "evaluate", "predict", "stream", "import", "verify", "models"]
)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "--help") == 0
    assert f"pocketvision {verb}" in capsys.readouterr().out


def test_wrong_use_exits_with_2_and_one_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "/nowhere/at/all") == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("Error: ")
    assert "/nowhere/at/all" in printed.err.replace("\n", "")
    assert "Traceback" not in printed.err
    assert run("train") == 2
    assert run("train", "--no-such-option") == 2
    assert run("polish") == 2


def test_check_exits_0_when_clean_and_1_when_something_hurts(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    assert run("check", photos, "--json", tmp_path / "clean.json") == 0
    assert json.loads((tmp_path / "clean.json").read_text())["hurts"] is False
    broken = tmp_path / "broken"
    shutil.copytree(photos, broken)
    (broken / "teasing" / "broken.png").write_text("no picture")
    capsys.readouterr()
    assert run("check", broken, "--json", tmp_path / "broken.json") == 1
    assert "broken.png" in capsys.readouterr().out
    found = json.loads((tmp_path / "broken.json").read_text())
    assert found["counts"]["unreadable"] == 1
    assert run("check", tmp_path / "nowhere") == 2


def test_evaluate_prints_json(trained: TrainResult, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", trained.bundle.folder, trained.run / "split.csv", "--split", "test", "--json", "-") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["accuracy"] == trained.evaluations[1].metrics.accuracy
    assert {"f1", "per_class", "confusion_matrix"} <= values.keys()


def test_evaluate_writes_a_report(trained: TrainResult, tmp_path: Path) -> None:
    out = tmp_path / "report"
    assert run("evaluate", trained.bundle.folder, trained.run / "split.csv", "--out", out, "--lang", "ko") == 0
    assert 'lang="ko"' in (out / "report.html").read_text(encoding="utf-8")


def test_predict_writes_rows_and_exits_1_when_one_failed(trained: TrainResult, photos: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    out = tmp_path / "rows.jsonl"
    assert run("predict", trained.bundle.folder, photos / "teasing", bad, "--out", out, "--top-k", "2") == 1
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 21
    assert [row["path"].endswith("bad.jpg") for row in rows].index(True) == 20
    assert rows[-1]["error"]
    assert run("predict", trained.bundle.folder, photos / "teasing", "--out", tmp_path / "rows.csv") == 0


def test_predict_reads_a_list_from_standard_input_without_torch(
    trained: TrainResult, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('torch is not for prediction')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    files = sorted((photos / "teasing").iterdir())[:3]
    finished = subprocess.run(
        [sys.executable, "-m", "pocketvision", "predict", str(trained.bundle.folder), "-"],
        input="\n".join(map(str, files)),
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    assert [line.split("\t")[0] for line in finished.stdout.splitlines()] == [str(file) for file in files]


def test_predict_and_evaluate_take_backend_device_threads_and_batch(
    trained: TrainResult, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []
    opened = predictor.open_backend

    def recorded(
        bundle: Bundle, name: str | None = None, *, threads: int | None = None, device: str = "cpu"
    ) -> Backend:
        asked.append((name, threads, device))
        return opened(bundle, name, threads=threads, device=device)

    monkeypatch.setattr(predictor, "open_backend", recorded)
    options = ("--backend", "openvino", "--device", "cpu", "--threads", 1, "--workers", 1, "--batch")
    assert run("predict", trained.bundle.folder, photos, "--json", "-", *options, 3) == 0
    assert run("evaluate", trained.bundle.folder, photos, "--json", "-", *options, 5) == 0
    assert asked == [("openvino", 1, "cpu")] * 2
    for verb in ("predict", "evaluate"):
        for option in ("--threads", "--batch"):
            assert run(verb, trained.bundle.folder, photos, option, 0) == 2


def test_verify_names_the_damaged_file(
    trained: TrainResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    assert run("verify", trained.bundle.folder) == 0
    copy = tmp_path / "bundle"
    shutil.copytree(trained.bundle.folder, copy)
    content = bytearray((copy / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.onnx").write_bytes(content)
    assert run("verify", copy) == 1
    assert "model.onnx" in capsys.readouterr().err


def test_models_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "--json", "-") == 0
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert models["efficientnet_lite0"]["parameters"] == 4_652_008
    assert {"efficientnet_b0", "efficientnet_lite1", "efficientnet_lite2", "mobilenet_v2"} <= models.keys()


def test_a_pretrained_name_stands_for_a_bundle(pretrained_lite0: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face = next((faces_folder() / "teasing").glob("*.png"))
    converted = pretrained_lite0
    changed = (converted / "manifest.json").stat().st_mtime_ns
    assert len(json.loads((converted / "manifest.json").read_text())["tasks"]["classification"]["labels"]) == 1000
    outputs = []
    for bundle in ("efficientnet_lite0", converted):
        assert run("predict", bundle, face) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != ""
    assert (converted / "manifest.json").stat().st_mtime_ns == changed
    assert run("predict", "efficientnet_lite9", face) == 2
    assert "Did you mean efficientnet_lite" in capsys.readouterr().err


@pytest.mark.slow
def test_import_makes_a_bundle_of_foreign_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import timm
    import torch

    torch.manual_seed(0)
    weights, labels = tmp_path / "best.pth", tmp_path / "labels.txt"
    torch.save({"state_dict": timm.create_model("mobilenetv2_100", num_classes=3).state_dict()}, weights)
    labels.write_text("one\ntwo\nthree\n")
    out = tmp_path / "bundle"
    assert run("import", weights, "--model", "mobilenet_v2", "--labels", labels, "--out", out, "--size", "96") == 0
    capsys.readouterr()
    assert run("verify", out) == 0
    assert run("predict", out, next((faces_folder() / "teasing").glob("*.png"))) == 0
    assert capsys.readouterr().out.splitlines()[-1].split("\t")[1] in {"one", "two", "three"}


def test_an_absent_extra_is_named_with_its_install_line(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    finished = subprocess.run(
        [sys.executable, "-m", "pocketvision", "train", str(photos)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=120,
    )
    assert finished.returncode == 2
    assert 'pip install "pocketvision[train]"' in finished.stderr.replace("\n", "")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_ctrl_c_leaves_a_bundle_and_says_how_to_go_on(
    photos: Path, small_network: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "pocketvision",
        "train",
        str(photos),
        "--out",
        str(out),
        "--size",
        "64",
        "--views",
        "1",
        "--model",
        small_network["model"],
        "--weights",
        small_network["weights"],
    ]
    process = subprocess.Popen(
        [*command, "--epochs1", "1", "--epochs2", "5000", "--patience", "5000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A parent that runs in the background may have switched the signal off for its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Stage 2, epoch  2"):
            process.send_signal(signal.SIGINT)
            break
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert f"--resume {out}" in errors
    assert "Traceback" not in errors
    assert "Bundle:" in printed
    assert run("verify", out / "bundle") == 0
    assert (out / "stage2" / "checkpoint.safetensors").is_file()
