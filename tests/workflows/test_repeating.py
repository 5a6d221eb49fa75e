"""Every command that a run's report prints beside its figures parses, and gives the same figures."""

import html
import json
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from pocketvision.cli.verbs import app, run_verb
from pocketvision.evaluation.report.repeating import beside, of_run
from pocketvision.workflows.training_run import TrainResult

VERBS = typer.main.get_command(app).commands


def test_each_section_of_a_report_has_a_command_that_repeats_it(
    trained: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(trained.run)
    page = (run / "report.html").read_text(encoding="utf-8")
    sections = dict(re.findall(r'<section id="([^"]+)"(.*?)</section>', page, flags=re.DOTALL))
    found = {name: re.findall(r'<p class="repeat"><code>(.*?)</code></p>', text) for name, text in sections.items()}
    assert {name: len(each) for name, each in found.items()} == dict.fromkeys(sections, 1)
    commands = {name: shlex.split(html.unescape(each[0])) for name, each in found.items()}
    for program, verb, *arguments in commands.values():
        assert program == "pocketvision"
        VERBS[verb].make_context(verb, list(arguments))
    assert {verb for _, verb, *_ in commands.values()} == {"evaluate", "train", "check", "verify"}
    monkeypatch.chdir(tmp_path)
    for name in ("confusion", "bundle", "split", "recipe"):
        assert run_verb(commands[name][1:]) == 0, name
    capsys.readouterr()
    own, again = (json.loads((each / "metrics.json").read_text()) for each in (run, tmp_path / "repeated"))
    assert again["accuracy"] == own["accuracy"] and again["per_class"] == own["per_class"]
    repeated = (tmp_path / "repeated" / "report.html").read_text(encoding="utf-8")
    for name in ("confusion", "classes"):  # what is printed there is the same
        tables = [
            re.findall(r"<td.*?</td>", re.search(rf'<section id="{name}".*?</section>', each, re.DOTALL)[0])  # type: ignore[index]
            for each in (page, repeated)
        ]
        assert tables[0] and tables[0] == tables[1]


def test_a_section_that_nothing_repeats_has_no_command() -> None:
    assert beside("audit", "pocketvision evaluate b d", "b", {}) is None
    assert beside("errors", None, "b", {}) is None and beside("bundle", None, None, {}) is None
    assert beside("errors", "pocketvision evaluate b d", "b", {}) == "pocketvision evaluate b d --out repeated"
    run = of_run(Path("my run"), Path("my run/split.csv"), "photos", {"format": None, "task": "detection"})
    assert run["audit"] == "pocketvision check photos --task detection"
    assert run["learning"] == "pocketvision train 'my run/split.csv' --recipe 'my run/recipe.toml' --out repeated"
