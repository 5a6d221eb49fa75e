"""Options of tables: every verb that reads one takes them, from the shell and from Python."""

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.main import get_command

import pocketvision
from pocketvision.bundle import Bundle
from pocketvision.cli.main import main
from pocketvision.cli.verbs import app
from pocketvision.errors import UsageError
from pocketvision.progress import Event, Note
from pocketvision.workflows.check import check
from pocketvision.workflows.evaluate import evaluate
from pocketvision.workflows.export import export
from pocketvision.workflows.fit import fit
from pocketvision.workflows.prune import prune
from pocketvision.workflows.quantize import quantize
from pocketvision.workflows.train import train

VERBS: dict[str, Callable[..., Any]] = {
    "check": check,
    "evaluate": evaluate,
    "export": export,
    "fit": fit,
    "prune": prune,
    "quantize": quantize,
    "train": train,
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_reads_a_table_takes_images(verb: str) -> None:
    assert inspect.signature(VERBS[verb]).parameters["images"].default is None
    command = get_command(app).commands[verb]  # type: ignore[attr-defined]
    assert "--images" in {name for parameter in command.params for name in parameter.opts}
    if verb in ("check", "evaluate", "train"):
        assert inspect.signature(VERBS[verb]).parameters["min_per_class"].default == 1
        assert "--min-per-class" in {name for parameter in command.params for name in parameter.opts}


def test_the_format_is_named(photos: Path, tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    for verb, more in (("check", []), ("train", []), ("evaluate", [str(tiny_bundle.folder)])):
        with pytest.raises(SystemExit) as ended:
            main([verb, *more, str(photos), "--format", "image-foldr"])
        assert (
            ended.value.code == 2
            and "Unknown format 'image-foldr'. Did you mean image-folder" in capsys.readouterr().err
        )
    assert len(pocketvision.check(photos, format="image-folder", task="classification").samples) == 48
    with pytest.raises(UsageError, match=r"Unknown task 'depth'\. Known: classification"):
        pocketvision.train(photos, task="depth")


def test_images_beside_a_folder_is_an_error(photos: Path) -> None:
    with pytest.raises(UsageError, match=r"--images elsewhere says where the paths of a table start.*is a folder"):
        pocketvision.check(photos, images="elsewhere")


def test_a_table_whose_pictures_moved_is_evaluated(tiny_bundle: Bundle, tmp_path: Path) -> None:
    colours = {"red": (250, 0, 0), "green": (0, 250, 0), "파랑": (0, 0, 250)}
    lines = ["sep=;", "path;label"]
    for label, colour in colours.items():
        (tmp_path / "old").mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), colour).save(tmp_path / "old" / f"{label}.png")
        lines.append(f"{tmp_path}\\old\\{label}.png;{label}")
    table = tmp_path / "t.csv"
    table.write_text("\r\n".join(lines), encoding="utf-16")
    assert evaluate(tiny_bundle.folder, table).metrics.accuracy == 1.0
    shutil.move(tmp_path / "old", tmp_path / "new place")
    with pytest.raises(UsageError, match=r"3 of 3 rows.*starts elsewhere.*--images"):
        evaluate(tiny_bundle.folder, table)
    events: list[Event] = []
    moved = evaluate(tiny_bundle.folder, table, images=tmp_path / "new place", on_event=events.append)
    assert moved.metrics.accuracy == 1.0
    assert [event.text for event in events if isinstance(event, Note) and "are read below" in event.text]
    assert pocketvision.check(table, images=tmp_path / "new place").samples.reading


def test_small_classes_are_left_out_of_an_evaluation(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Also those that the network does not know: a training with the same option left them out too."""
    data = tmp_path / "data"
    for label, colour, count in (("red", (250, 0, 0), 3), ("green", (0, 250, 0), 2), ("odd", (9, 9, 9), 1)):
        for place in range(count):
            (data / label).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20 + place, 20), colour).save(data / label / f"{place}.png")
    with pytest.raises(UsageError, match="odd"):
        evaluate(tiny_bundle.folder, data)
    events: list[Event] = []
    evaluation = evaluate(tiny_bundle.folder, data, min_per_class=2, on_event=events.append)
    assert (evaluation.metrics.images, evaluation.metrics.accuracy) == (5, 1.0)
    assert [event.text for event in events if isinstance(event, Note)] == [
        "Left out: pictures of classes smaller than --min-per-class: 1 ('odd (1)')."
    ]
    with pytest.raises(UsageError, match="--min-per-class is 0"):
        evaluate(tiny_bundle.folder, data, min_per_class=0)


def test_what_groups_by_is_one_setting_under_both_of_its_names(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--group", "--group-column"):
        with pytest.raises(SystemExit) as ended:
            main(["train", str(photos), option, "autto"])
        assert ended.value.code == 2
        assert "Unknown group 'autto'. Did you mean auto?" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UsageError, match=r"contradict each other: both are data\.group"):
        pocketvision.train(photos, group="none", group_column="person")
