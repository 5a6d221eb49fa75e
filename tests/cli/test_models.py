"""`pocketvision models …`: the tables on the screen, the files, and wrong use."""

import json
from pathlib import Path

import pytest

from pocketvision.cli.main import main


def run(*arguments: str) -> int:
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(["models", *arguments])
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_the_list_is_filtered_and_sorted(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--family", "mobilenet_v3", "--sort", "macs") == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert names[0] == "mobilenet_v3_small_minimalistic" and len(names) == 4
    assert run("--sort", "macz") == 2
    assert "Did you mean macs" in capsys.readouterr().err


def test_info_shows_stages_layers_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawing = tmp_path / "net.svg"
    assert run("info", "mobilenet_v1", "--draw", str(drawing), "--layers") == 0
    shown = capsys.readouterr().out
    assert "mobilenet_v1 at 224 px: 4,231,976 parameters" in shown
    assert "stages.4.1.project" in shown and "(theory 11.2%)" in shown
    assert drawing.read_text().startswith("<svg")
    assert run("info", "mobilenet_v1_050", "--size", "160", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["architecture"]["width"] == 0.5
    assert run("info", "mobilenet_v9") == 2
    assert "Did you mean mobilenet_v" in capsys.readouterr().err


def test_info_shows_a_dash_for_kernels_that_timm_does_not_tell(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", "timm:inception_v3", "--layers") == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    stages = [words for words in shown if words[:1] == ["stage"] and words[2] == "timm"]
    assert len(stages) == 4 and all(words[8:10] == ["–", "–"] for words in stages)
    stem = next(words for words in shown if words[:1] == ["stem"])
    assert stem[7:9] == ["3x3", "–"]
    kernels = {words[0]: words[1] for words in shown if words and words[0].startswith("stages.2.Mixed_6b")}
    assert (
        kernels["stages.2.Mixed_6b.branch7x7_2.conv"] == "1x7"
        and kernels["stages.2.Mixed_6b.branch7x7_3.conv"] == "7x1"
    )
    assert run("info", "timm:inception_v3", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["stages"][1]["kernel"] is None


def test_scale_writes_rows_that_info_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "b.json"
    assert run("scale", "--phi", "1", "--out", str(rows)) == 0
    shown = capsys.readouterr().out
    assert "efficientnet_b0_phi1" in shown and "efficientnet_b7" in shown
    assert run("info", str(rows)) == 0
    assert "efficientnet_b0_phi1 at 258 px" in capsys.readouterr().out
    assert run("scale", "--phi", "1", "--alpha", "3") == 2
    assert "expected 2" in capsys.readouterr().err


def test_scale_searches_coefficients_and_shows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, result = tmp_path / "rows.json", tmp_path / "result.json"
    arguments = ("scale", "--coefficients", "--max-macs", "8e8", "--out", str(rows), "--json", str(result))
    assert run(*arguments) == 0
    shown, found = capsys.readouterr().out, json.loads(result.read_text())
    coefficients = {name: found[name] for name in ("alpha", "beta", "gamma")}
    assert found["phi"] == 1 and found["cost"]["macs"] <= 8e8
    assert all(f"{name} {value:g}" in shown for name, value in coefficients.items())
    assert json.loads(rows.read_text()) == found["architecture"]
    assert run("info", str(rows)) == 0
    assert f"at {found['architecture']['input_size']} px" in capsys.readouterr().out
    assert run("scale", "--coefficients", "--max-macs", "2e9", "--phi", "2", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["phi"] == 2
    assert run("scale", "--max-macs", "1e8", "--width", "--base", "mobilenet_v2") == 0
    assert "alpha" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ("--max-macs", "8e8", "--width"),
        ("--max-macs", "8e8", "--max-parameters", "1e7"),
        ("--max-macs", "8e8", "--alpha", "1.2"),
        ("--max-macs", "8e8", "--beta", "1.1"),
        ("--max-macs", "8e8", "--gamma", "1.15"),
    ],
)
def test_coefficients_go_with_nothing_that_gives_them(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("scale", "--coefficients", *options) == 2
    shown = capsys.readouterr().err
    assert "--coefficients" in shown and [option for option in options if option.startswith("--")][-1] in shown
    assert run("scale", "--coefficients") == 2
    assert "--max-macs" in capsys.readouterr().err


def test_weights_recommendation_and_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("weights", "efficientnet_b1") == 0
    assert "EfficientNet_B1_Weights.IMAGENET1K_V2" in capsys.readouterr().out
    assert run("weights", "small_cnn") == 0
    assert "No weights of small_cnn are published" in capsys.readouterr().out
    assert run("recommend", "--target", "phone", "--goal", "battery") == 0
    assert "mobilenet_v3_small_minimalistic at 224 px in int8" in capsys.readouterr().out
    assert run("recommend", "--target", "toaster") == 2
    assert run("compare", "mobilenet_v2", "mobilenet_v3_large", "--json", str(tmp_path / "c.json")) == 0
    front = {each["name"]: each["best_of_its_cost"] for each in json.loads((tmp_path / "c.json").read_text())}
    assert front == {"mobilenet_v2": False, "mobilenet_v3_large": True}
    assert run("compare", "mobilenet_v2") == 2


@pytest.mark.parametrize("verb", ["info", "compare", "recommend", "scale", "weights"])
def test_every_sub_verb_has_help_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "--help") == 0
    assert f"pocketvision models {verb}" in capsys.readouterr().out
