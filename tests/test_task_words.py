"""Outside the folders of tasks no name and no key knows that an image has one label, but those of a reviewed list."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pocketvision

SOURCE = Path(pocketvision.__file__).parent
OWN = (
    "tasks/",
    *(f"{room}/{kind}/" for room in ("models/heads", "training") for kind in ("classification", "tags", "number")),
)
"""The folders of tasks, which may say what they like."""

WORDS = ("top_k", "probabilities", "accuracy", "label")
"""Of classification: as a whole name or as whole parts of one, as in `max_accuracy_drop`."""

REVIEWED: tuple[tuple[str, str, str], ...] = (
    (
        "Detail, and the option that makes one: of the shell, of Python, of requests",
        "top_k",
        "cli/client.py cli/display.py cli/predict.py cli/stream.py client/async_client.py client/requests.py "
        "client/session.py client/sync_client.py client/sync_session.py client/wanted.py serving/request_options.py "
        "streaming/lines.py workflows/client.py workflows/predict.py workflows/stream.py",
    ),
    (
        "an option of the shell and of Python, a setting in records; it is of any task's headline, in points",
        "max_accuracy_drop",
        "cli/export.py cli/fit.py cli/prune.py cli/quantize.py compression/budget.py compression/fit_trials.py "
        "compression/prune_settings.py compression/pruning.py compression/quantizing.py compression/trial_settings.py "
        "workflows/export.py workflows/fit.py workflows/quantize.py",
    ),
    ("the key in fit's record of what a trial missed", "accuracy", "cli/fit.py compression/budget.py"),
    (
        "an option of the shell and of Python, a setting of recipes",
        "label_smoothing",
        "training/learner.py training/presets.py training/settings.py training/training_data.py",
    ),
    (
        "the option that names a table's column, and its default",
        "label_column label",
        "cli/check.py cli/compare.py cli/convert.py cli/evaluate.py cli/threshold.py cli/train.py data/sources/catalog.py "
        "data/sources/several_tasks.py evaluation/images.py workflows/changes.py workflows/check.py workflows/compare.py "
        "workflows/convert.py "
        "workflows/evaluate.py workflows/threshold.py workflows/train.py",
    ),
    (
        "labels that are likely wrong: of classes in training/, of objects and masks by their tasks",
        "label_problems with_label_problems write_label_sheet label",
        "cli/check.py data/audit.py evaluation/doubt_sheet.py training/frozen_features.py training/label_problems.py "
        "training/label_sheet.py workflows/check.py",
    ),
    (
        "the column of that name in tables and in split.csv, with the name of a class",
        "label",
        "data/class_column.py data/demo_scene_files.py data/json_rows.py data/number_column.py data/parquet_rows.py "
        "data/sources/in_memory.py data/sources/number_table.py data/sources/split_overlay.py data/sources/tag_table.py "
        "data/splits.py data/table_rows.py data/tag_column.py training/recorded_split.py",
    ),
    (
        "what files of boxes call an object's class: members, attributes, columns",
        "label label_name",
        "data/box_writers/labelme.py data/box_writers/voc.py data/box_writers/writer.py data/boxes/box_columns.py "
        "data/sources/box_table.py data/sources/cvat.py data/sources/label_studio.py data/sources/labelme.py",
    ),
    ("what a server tells of each kind, as its records want it", "probabilities label top_k", "client/answering.py"),
    ("what the mean of an ensemble may be of", "probabilities", "cli/ensemble.py models/heads/mean.py"),
    ("the role of a class's output, whose score is explained", "probabilities", "explain/choice.py"),
    ("the name of a tool", "is_label_studio", "data/sources/label_studio.py"),
    ("the name of folders that hold masks", "label", "data/split_folders.py"),
    (
        "columns of history.csv and what is told of an epoch",
        "train_accuracy val_accuracy",
        "cli/display.py evaluation/report/advice.py progress.py training/engine.py training/outlook.py "
        "training/phases.py training/starting.py",
    ),
    (
        "what is told of a step, and the chart and the text of the report that are of those columns",
        "accuracy",
        "cli/display.py compression/tuning.py evaluation/report/advice.py evaluation/report/plots.py progress.py",
    ),
    ("a column's title where there is no truth", "accuracy", "cli/comparisons.py"),
    (
        "fields of 0.1 that stand beside `answers`, where classification is alone",
        "label",
        "client/values.py serving/answers.py serving/open_inference.py streaming/lines.py",
    ),
    ("figures of 0.1 in `/models`", "accuracy balanced_accuracy top5_accuracy", "serving/answers.py"),
    ("what an evaluation of classification has had from the beginning", "probabilities", "evaluation/evaluation.py"),
    ("the demo shows a classifier", "label", "cli/demo.py"),
    ("what a suspect picture is called by, in the report", "label", "evaluation/report/suspects.py"),
    (
        "what matplotlib calls a line's legend",
        "label",
        "client/load_plot.py evaluation/pareto.py evaluation/report/plots.py",
    ),
    ("a word of a message", "label", "export/taken.py export/from_onnx.py"),
    ("a column of the table that torchvision's sets of classes are written as", "label", "data/sources/named_sets.py"),
)
"""Why, which names, and in which files."""


def names_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every identifier, and every string that could be one, with its line: keys are written as strings."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield line, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield line, name
            case ast.keyword(arg=str(name)) | ast.MatchAs(name=str(name)):
                yield line, name
            case ast.alias(name=name, asname=other):
                yield from ((line, each) for each in (name.rpartition(".")[2], other) if each is not None)
            case ast.Constant(value=str(name)) if name.isidentifier():
                yield line, name
            case _:
                pass


def says(name: str) -> bool:
    """Whether a name has one of WORDS as whole parts."""
    return any(f"_{word}_" in f"_{name}_" for word in WORDS)


def found_in(file: Path) -> dict[str, int]:
    """The names of a file that say one of WORDS, with a line each."""
    return {name: line for line, name in names_in(ast.parse(file.read_text(encoding="utf-8"))) if says(name)}


FOUND = {
    path: found
    for file in sorted(SOURCE.rglob("*.py"))
    if not (path := file.relative_to(SOURCE).as_posix()).startswith(OWN) and (found := found_in(file))
}
ALLOWED: dict[str, set[str]] = {}
for _, _names, _files in REVIEWED:
    for _file in _files.split():
        ALLOWED.setdefault(_file, set()).update(_names.split())


@pytest.mark.parametrize("path", sorted(FOUND))
def test_only_reviewed_names_are_of_classification(path: str) -> None:
    wrong = [f"line {line}: {name}" for name, line in FOUND[path].items() if name not in ALLOWED.get(path, set())]
    assert not wrong, f"{path}: {'; '.join(wrong)}. Ask the task (tasks/task.py), or say in REVIEWED why it has to be."


@pytest.mark.parametrize(("reason", "names", "files"), REVIEWED, ids=[names for _, names, _ in REVIEWED])
def test_the_reviewed_list_names_what_there_is(reason: str, names: str, files: str) -> None:
    """What is gone leaves the list: every file has one of the names, every name is in one of the files."""
    found = {file: set(FOUND.get(file, ())) & set(names.split()) for file in files.split()}
    assert reason and [file for file, held in found.items() if not held] == []
    assert set(names.split()) - set().union(*found.values()) == set()


def test_words_are_found_wherever_a_name_or_key_is() -> None:
    text = """
from one import label as other, two as accuracy
class Row:
    top_k: int
    def probabilities(self, *, label=1, **train_accuracy): ...
row.get("label"), row["max_accuracy_drop"], {"top_k": 1}, row.label_name, call(label_smoothing=0.1)
labels, labelled, relabel, accuracies, top_kinds = "the label"
match row:
    case {"probabilities": label}: ...
"""
    found = [(line, name) for line, name in names_in(ast.parse(text)) if says(name)]
    assert sorted(found) == [
        (2, "accuracy"),
        (2, "label"),
        (4, "top_k"),
        (5, "label"),
        (5, "probabilities"),
        (5, "train_accuracy"),
        (6, "label"),
        (6, "label_name"),
        (6, "label_smoothing"),
        (6, "max_accuracy_drop"),
        (6, "top_k"),
        (9, "label"),
        (9, "probabilities"),
    ]
