"""check --groups on pictures: four views each of the demo's faces, whose groups are known."""

import json
from pathlib import Path

import pytest
from bursts import features_of_pixels, write_bursts

from pocketvision.cli.main import main
from pocketvision.training import frozen_features


@pytest.fixture(scope="module")
def bursts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bursts(tmp_path_factory.mktemp("bursts"))


@pytest.mark.slow
def test_check_finds_the_bursts_and_says_what_a_random_split_hides(
    bursts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main_code(["check", str(bursts), "--groups", "--json", str(tmp_path / "audit.json")])
    printed = " ".join(capsys.readouterr().out.split())
    found = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))["likely_groups"]
    assert 32 <= found["groups"] <= 48
    assert found["with_twin"] > 0.8 * 160
    assert found["all"]["share"] > found["grouped"]["share"] + 0.12
    assert "A random split has a picture of the same group in training for" in printed
    assert "Split by these groups, it is right on" in printed


def test_what_is_found_is_printed_and_in_the_json(
    bursts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By features of another kind, which need no network: the pictures themselves, at 8 pixels."""

    monkeypatch.setattr(frozen_features, "frozen_features", features_of_pixels)
    main_code(["check", str(bursts), "--groups", "--json", str(tmp_path / "audit.json")])
    printed = " ".join(capsys.readouterr().out.split())
    found = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))["likely_groups"]
    assert found["groups"] > 10
    assert found["images_in_groups"] >= found["with_twin"] > 40
    assert f"{found['images_in_groups']} of 160 images likely belong to {found['groups']} groups" in printed
    assert "A random split has a picture of the same group in training" in printed


def test_without_the_option_nothing_is_said_of_groups(bursts: Path, tmp_path: Path) -> None:
    main_code(["check", str(bursts), "--json", str(tmp_path / "audit.json")])
    assert json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))["likely_groups"] is None


def main_code(arguments: list[str]) -> None:
    """Run a command; whatever the audit finds beside (near-duplicates) may end it with 1."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, 1)
