"""Libraries whose private parts are used here are pinned to what was tested. To move a pin, run these tests with it."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SERVING = ROOT / "src/pocketvision/serving"
PINNED = {
    "uvicorn": r"uvicorn\.(?:protocols|_types)|HttpToolsProtocol|WebSocketsSansIOProtocol",
    "prometheus-client": r"prometheus_client\.(?:mmap_dict|multiprocess)",
}
"""The libraries, and what of them is private or overridden here."""


def requirement(name: str) -> Requirement:
    """What the extra `serve` asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return next(each for each in map(Requirement, project["optional-dependencies"]["serve"]) if each.name == name)


@pytest.mark.parametrize("name", PINNED)
def test_a_library_with_overridden_private_parts_has_an_upper_bound(name: str) -> None:
    bounds = {each.operator for each in requirement(name).specifier}
    assert "<" in bounds, f"{name} is not bounded in pyproject.toml, and its private parts are used in serving/"


@pytest.mark.parametrize("name", PINNED)
def test_the_installed_version_is_one_that_the_pins_allow(name: str) -> None:
    wanted, installed = requirement(name), version(name)
    assert wanted.specifier.contains(installed, prereleases=True), (
        f"{name} {installed} is installed, and pyproject.toml allows {wanted.specifier}; run tests/serving with it, move the pin"
    )


@pytest.mark.parametrize("name", PINNED)
def test_a_pin_that_is_not_needed_any_more_is_taken_away(name: str) -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in SERVING.glob("*.py"))
    assert re.search(PINNED[name], source)


def test_no_other_private_module_is_imported() -> None:
    private = re.compile(r"^(?:from|import) (\w+)[\w.]*\._\w+", re.MULTILINE)
    found = {match[1] for file in SERVING.glob("*.py") for match in private.finditer(file.read_text(encoding="utf-8"))}
    assert found <= {name.replace("-", "_") for name in PINNED}
