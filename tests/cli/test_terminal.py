"""What the command line prints is text: no markup, no emoji codes, no control characters, one line a line."""

import ast
import io
import re
from pathlib import Path

import pytest
from rich.table import Table

import pocketvision
from pocketvision.cli.display import TrainingDisplay
from pocketvision.cli.terminal import Terminal, joined, lines, styled, write_cells, write_line
from pocketvision.progress import Counted, Note

CLI = Path(pocketvision.__file__).parent / "cli"
OUTSIDE = sorted(path for path in CLI.rglob("*.py") if path.name != "terminal.py")
MARKUP = re.compile(r"\[/\]|\[/?(?:bold|dim|red|green|yellow|blue|cyan)[^\]]*\]")
HOSTILE = "[red]a[/x] :cat: [link=file:///]\x1b]0;title\x07\x1b[2J\x9b31m b\r\nforged\u202e\udcff 한글"
SHOWN = r"[red]a[/x] :cat: [link=file:///]\x1b]0;title\x07\x1b[2J\x9b31m b\r\nforged\u202e\xff 한글"


def printed(*contents: object) -> str:
    terminal = Terminal()
    terminal.file = io.StringIO()
    for content in contents:
        terminal.print(content, soft_wrap=not isinstance(content, Table))
    return terminal.file.getvalue()  # type: ignore[attr-defined]


def test_a_string_is_one_line_of_text() -> None:
    assert printed(HOSTILE) == SHOWN + "\n"
    assert printed(styled(HOSTILE, "red"), joined(HOSTILE, styled("!", "bold"))) == f"{SHOWN}\n{SHOWN}!\n"


def test_a_table_is_text_too_in_cells_headings_and_title() -> None:
    table = Table(HOSTILE, "b", title="[bold]x[/y]\x1b", box=None)
    table.add_row(HOSTILE, "\x1b[1m")
    shown = printed(table)
    assert "\x1b" not in shown and "\u202e" not in shown and "\udcff" not in shown
    assert shown.count(SHOWN) == 2 and r"[bold]x[/y]\x1b" in shown and r"\x1b[1m" in shown
    assert len(shown.splitlines()) == 3


def test_a_heading_may_have_lines() -> None:
    assert lines("a\x1b", "b").plain == "a\\x1b\nb"


def test_rows_keep_their_cells_apart(capsys: pytest.CaptureFixture[str]) -> None:
    write_cells("a\tb\nc.png", "label\x1b", "0.5")
    write_line("x\ny")
    assert capsys.readouterr().out == "a\\tb\\nc.png\tlabel\\x1b\t0.5\nx\\ny\n"


@pytest.mark.parametrize("live", [False, True])
def test_progress_shows_notes_and_steps_as_text(live: bool) -> None:
    terminal = Terminal(to_stderr=True)
    terminal.file = io.StringIO()
    terminal._force_terminal = live
    with TrainingDisplay(terminal) as display:
        display(Counted("step [/x]\x1b]0;t\x07", 1, 2))
        display(Note(HOSTILE))
        display(Counted("step [/x]\x1b]0;t\x07", 2, 2))
    shown = terminal.file.getvalue()
    assert SHOWN in shown.replace("\n", "") and r"step [/x]\x1b]0;t\x07" in shown
    assert "\x1b]" not in shown and "\x07" not in shown


def _names(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


@pytest.mark.parametrize("file", OUTSIDE, ids=lambda file: file.relative_to(CLI).as_posix())
def test_the_command_line_prints_through_its_terminal_alone(file: Path) -> None:
    wrong: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        where = f"line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call):
            name = _names(node.func)
            if name in ("print", "rich.print", "typer.echo", "typer.secho", "sys.stdout.write", "Console", "Text"):
                wrong.append(f"{where}: {name}(…)")
            if any(each.arg in ("markup", "emoji") and ast.unparse(each.value) != "False" for each in node.keywords):
                wrong.append(f"{where}: markup is asked for")
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("rich")
            and node.module not in ("rich.table", "rich.progress")
        ):
            wrong.append(f"{where}: from {node.module} import …")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and MARKUP.search(node.value):
            wrong.append(f"{where}: markup in a text; use styled")
    assert not wrong, f"{file.name}: {'; '.join(wrong)}. Print with pocketvision.cli.terminal"
