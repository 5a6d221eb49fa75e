"""`pocketvision export`: exit codes, the table, JSON that a program can read, and what a bundle is afterwards."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.bundle import read_bundle
from pocketvision.cli.main import main
from pocketvision.compression import exported
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.splits import make_split, write_split_csv
from pocketvision.evaluation.latency import Latency, measure_latency
from pocketvision.export.shipping import ship
from pocketvision.export.targets import TARGETS
from pocketvision.models.catalog import build
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.classification.task import classifying


def run(*arguments: str | Path) -> int:
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(["export", *map(str, arguments)])
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency from a few calls: its figures are not what is looked at."""

    def measured(runs, images, *, seconds):  # type: ignore[no-untyped-def]
        assert seconds == 1.0
        found: dict[str, Latency] = measure_latency(runs, images, seconds=0)
        return found

    monkeypatch.setattr(exported, "measure_latency", measured)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Short calls: threads that wait for each other take longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an untrained network: a bundle, and the split of its data."""
    folder = tmp_path_factory.mktemp("made") / "run"
    samples = read_samples(photos)
    split = make_split(samples.labels, val_share=0.25, seed=1, class_names=samples.class_names)
    write_split_csv(folder / "split.csv", samples.with_splits(split))
    preprocessing = Preprocessing(32, 32, 0.875, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    torch.manual_seed(0)
    ship(
        build("small_cnn", num_classes=2),
        folder / "bundle",
        tasks=classifying(samples.class_names),
        preprocessing=preprocessing,
        load=lambda index: preprocessing.place(samples.file(index)),
        names=list(samples.paths[:8]),
    )
    return folder


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run") / "bundle"


def test_a_line_a_target_and_the_bundle(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, "--to", "program, torchscript") == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split()[:2] == ["Target", "Size"] and "Drop" in lines[0]
    (program,) = (line for line in lines if line.lstrip().startswith("program"))
    (torchscript,) = (line for line in lines if line.lstrip().startswith("torchscript"))
    figures = read_bundle(bundle).manifest.agreement["model.pt2"]
    for words in (
        f"{figures['bytes'] / 1e6:.1f} MB",
        "100.00%",
        f"{figures['accuracy']:.2%}",
        "0.00 points (95 %: -",
        " ms",
    ):
        assert words in program
    assert "images/s" in torchscript
    assert lines[-1] == f"Bundle: {bundle}"
    assert "Exporting to program" in printed.err and "Exporting to torchscript" in printed.err
    assert {"model.pt2", "model.torchscript"} <= read_bundle(bundle).manifest.files.keys()


def test_without_labels_the_table_has_no_accuracy(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = bundle.rename(tmp_path / "alone")
    assert run(alone, "--to", "program") == 0
    printed = capsys.readouterr()
    assert "without labels" in printed.err
    (program,) = (line for line in printed.out.splitlines() if line.lstrip().startswith("program"))
    assert program.count("%") == 1 and "points" not in program


def test_what_is_not_run_here_is_named_in_its_line(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert run(bundle, "--to", "coreml") == 0
    printed = capsys.readouterr()
    (line,) = (line for line in printed.out.splitlines() if line.lstrip().startswith("coreml"))
    assert "not run here" in line and "only Darwin runs it" in printed.err


def test_a_copy_and_a_file_of_json(bundle: Path, tmp_path: Path) -> None:
    result, before = tmp_path / "result.json", sorted(each.name for each in bundle.iterdir())
    assert run(bundle, "--to", "program", "--out", tmp_path / "copy", "--json", result) == 0
    assert sorted(each.name for each in bundle.iterdir()) == before
    found = json.loads(result.read_text(encoding="utf-8"))
    assert found["bundle"] == str(tmp_path / "copy") and found["exported"][0]["files"] == ["model.pt2"]
    assert (tmp_path / "copy" / "model.pt2").is_file()


def test_other_answers_exit_with_1_and_say_where_the_figures_are(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = replace(
        TARGETS["program"],
        open_answers=lambda *_: (
            lambda images: dict.fromkeys(("logits", "probabilities"), np.full((len(images), 2), 0.5, np.float32))
        ),
    )
    monkeypatch.setitem(TARGETS, "program", wrong)
    assert run(bundle, "--to", "program", "--json", "-") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Error: model.pt2 does not answer like the trained network" in printed.err
    assert "bundle.export-failed.json" in printed.err.replace("\n", "") and "Traceback" not in printed.err
    assert "model.pt2" not in read_bundle(bundle).manifest.files


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "openvin"), "Did you mean openvino"),
        (("--to", ""), "Say what to export to"),
        (("--to", " , "), "Say what to export to"),
        ((), "Say what to export to"),
        (("--to", "program", "--max-accuracy-drop", "101"), "--max-accuracy-drop"),
        (("--to", "program", "--data", "/nowhere/at/all"), "/nowhere/at/all"),
        (("--to", "openvino,openvino-fp16"), "both write model.xml"),
        (("--to", "timm"), "timm has no network"),
    ],
)
def test_wrong_use_exits_with_2(
    arguments: tuple[str, ...], words: str, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(each.name for each in bundle.parent.rglob("*"))
    assert run(bundle, *arguments) == 2
    printed = capsys.readouterr()
    assert words in printed.err and "Traceback" not in printed.err and printed.out == ""
    assert sorted(each.name for each in bundle.parent.rglob("*")) == before


def test_the_help_names_every_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "pocketvision export runs/leaves/bundle" in shown
    listed = shown.partition("Targets, by comma:")[2].partition(".")[0].replace(",", " ").split()
    assert listed == list(TARGETS)


def test_a_program_reads_the_json_and_nothing_else_from_standard_output(
    bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, "--to", "program", "--json", "-") == 0
    printed = capfd.readouterr()
    assert [each["target"] for each in json.loads(printed.out)["exported"]] == ["program"]
    measured, exporting = (line.strip() for line in printed.err.splitlines())
    assert measured.endswith("to measure on, selection: these images chose the epoch.")
    assert exporting == "Exporting to program"
