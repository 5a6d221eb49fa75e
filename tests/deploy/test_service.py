"""deploy/pocketvision.service: what systemd says to it, and that its numbers fit the server's."""

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
from containerfile import DEPLOY, ROOT

UNIT = DEPLOY / "pocketvision.service"
TEXT = UNIT.read_text(encoding="utf-8")
COMMAND = re.findall(r"^ExecStart=(.*)$", TEXT, flags=re.MULTILINE)[0].split()


def analysed(*arguments: str, unit: Path) -> "subprocess.CompletedProcess[str]":
    """What systemd-analyze says; the test is skipped where there is none that can read a unit without a running systemd."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    version = re.search(r"\d+", subprocess.check_output([analyze, "--version"], text=True))
    if version is None or int(version[0]) < 250:
        pytest.skip("systemd-analyze is older than 250 and has no --offline")
    return subprocess.run([analyze, *arguments, str(unit)], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_takes_it_without_a_word(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(TEXT.replace(COMMAND[0], shutil.which("true") or "/bin/true"), encoding="utf-8")
    said = analysed("verify", unit=unit)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def test_its_exposure_is_as_stated() -> None:
    said = analysed("security", "--offline=true", unit=UNIT)
    score = re.search(r"Overall exposure level for pocketvision\.service: ([\d.]+)", said.stdout)
    stated = re.search(r"exposure of ([\d.]+)", (ROOT / "docs/deploy.md").read_text(encoding="utf-8"))
    assert score
    assert stated
    # Other versions of systemd weigh more, or fewer, things.
    assert float(score[1]) == pytest.approx(float(stated[1]), abs=0.3)


def test_its_command_is_one_that_the_server_takes(serve_options) -> None:  # type: ignore[no-untyped-def]
    assert COMMAND[:2] == ["/opt/pocketvision/bin/pocketvision", "serve"]
    options = serve_options(COMMAND[2:])
    parser = RawConfigParser(strict=False)  # some names stand twice
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(TEXT)
    service = dict(parser["Service"])
    assert int(service["TimeoutStopSec"]) > options["drain"]
    assert service["SocketBindAllow"] == f"tcp:{options['port']}"
    assert options["host"] == "127.0.0.1"
    name, _, _ = service["LoadCredential"].partition(":")
    assert str(options["keys"]) == f"${{CREDENTIALS_DIRECTORY}}/{name}"
    assert (service["DynamicUser"], service["Restart"]) == ("yes", "on-failure")
    assert not [each for each in service if each.endswith("Directory")], "there is nothing to keep"
