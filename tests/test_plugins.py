"""Rows of installed packages: found by name through entry points, in a process of its own too."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pocketvision
from pocketvision.errors import UsageError
from pocketvision.plugins import all_rows, row_named

TABLE = {"ours": 1}
GROUP = "pocketvision.test"


def installed(folder: Path, entry_points: str) -> None:
    """What pip leaves of a package besides its modules."""
    about = folder / "brightspots-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brightspots\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entry_points)


def run(script: str, folder: Path, *arguments: str) -> str:
    """The output of a script in a process that has `folder` on its path."""
    paths = os.pathsep.join(map(str, (folder, Path(pocketvision.__file__).parents[1])))
    child = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "brightspots.py").write_text("ROW = 2\nOURS = 3\n")
    rows = "theirs = brightspots:ROW\nours = brightspots:OURS\nbroken = brightspots:NONE\nabsent = nowhere:ROW\n"
    installed(tmp_path, f"[{GROUP}]\n{rows}")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("package")
def test_the_table_comes_first_then_packages() -> None:
    assert row_named(TABLE, "ours", group=GROUP, what="row") == 1
    assert row_named(TABLE, "theirs", group=GROUP, what="row") == 2


@pytest.mark.usefixtures("package")
def test_an_unknown_name_lists_what_is_near_in_both() -> None:
    with pytest.raises(UsageError, match=r"Unknown row 'their'\. Did you mean theirs"):
        row_named(TABLE, "their", group=GROUP, what="row")
    with pytest.raises(UsageError, match=r"Unknown row 'zzz'\. Known: ours, absent, broken, theirs"):
        row_named(TABLE, "zzz", group=GROUP, what="row")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("name", "why"), [("broken", "AttributeError"), ("absent", "ModuleNotFoundError")])
def test_a_package_that_can_not_be_loaded_is_named(name: str, why: str) -> None:
    message = rf"The row {name} of the package brightspots can not be loaded from \w+:\w+: {why}"
    with pytest.raises(UsageError, match=message):
        row_named(TABLE, name, group=GROUP, what="row")


def test_another_process_finds_them_too(package: Path) -> None:
    script = (
        f"from pocketvision.plugins import row_named; print(row_named({{}}, 'theirs', group={GROUP!r}, what='row'))"
    )
    assert run(script, package) == "2\n"


def test_the_head_of_the_guide_is_found_and_built(tmp_path: Path) -> None:
    """docs/extending.md: its module and its entry point, as an installed package, in a process of its own."""
    guide = (Path(__file__).parents[1] / "docs/extending.md").read_text(encoding="utf-8")
    module, *_ = re.findall(r"^```python\n(.*?)^```$", guide, flags=re.MULTILINE | re.DOTALL)
    project, *_ = re.findall(r"^```toml\n(.*?)^```$", guide, flags=re.MULTILINE | re.DOTALL)
    ((group, rows),) = tomllib.loads(project)["project"]["entry-points"].items()
    ((name, value),) = rows.items()
    (tmp_path / f"{value.partition(':')[0]}.py").write_text(module)
    installed(tmp_path, f"[{group}]\n{name} = {value}\n")
    script = (
        "import sys, torch\n"
        "from pocketvision.models.catalog import architecture\n"
        "from pocketvision.models.heads.head import HeadSpec\n"
        "from pocketvision.models.network import Network\n"
        "network = Network(architecture('mobilenet_v2'), {'early': HeadSpec(sys.argv[1], 3)}).eval()\n"
        "print(network.features_read[0], network.heads['early'].linear.in_features, *network(torch.zeros(1, 3, 64, 64)).shape)"
    )
    assert run(script, tmp_path, name).split() == ["pool:stage3", "64", "1", "3"]


@pytest.mark.usefixtures("package")
def test_all_rows_are_the_tables_and_those_of_packages_that_can_be_imported(caplog: pytest.LogCaptureFixture) -> None:
    assert all_rows(TABLE, group=GROUP, what="row") == {"ours": 1, "theirs": 2}
    assert sorted(record.getMessage().split(" of ")[0] for record in caplog.records) == [
        "The row absent",
        "The row broken",
    ]
