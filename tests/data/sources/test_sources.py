"""The table of sources: the most specific format wins and is named, a tie is an error, and every image has some truth."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright_spots.truth import points

import pocketvision
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import SOURCES, read_samples
from pocketvision.data.sources.source import LAYOUT, SHAPE, Source
from pocketvision.errors import UsageError
from pocketvision.tasks.classification.truth import ClassLabels, class_truth

EXTENDING = Path(__file__).parents[3] / "docs/extending.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def source(evidence: int, kind: str, truth: Callable[[], dict[str, Any]]) -> Source:
    def read(path: Path, _: SourceOptions) -> Samples:
        return Samples(path, ["a/0.png", "b/0.png"], truth())

    return Source(f"a folder of {kind}", lambda path: evidence if path.is_dir() else None, (kind,), read)


def spots() -> dict[str, Any]:
    return {"spots": points(0, 2)}


def test_the_most_specific_format_wins_and_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_samples(folder).reading == ()
    monkeypatch.setitem(SOURCES, "spots", source(LAYOUT, "spots", spots))
    found = read_samples(folder)
    assert list(found.truth) == ["spots"] and found.origin is not None and found.origin.format == "spots"
    assert found.reading == ("Read as spots, not as image-folder; --format says otherwise.",)
    asked = read_samples(folder, format="image-folder")
    assert asked.class_names == ("a", "b") and asked.reading == ()
    assert len(read_samples(folder, task="classification")) == 4
    with pytest.raises(UsageError, match="read as image-folder, has the truth of classification, and none of spots"):
        read_samples(folder, format="image-folder", task="spots")


def test_several_formats_are_an_error_that_names_the_way_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "spots", source(SHAPE, "spots", spots))
    with pytest.raises(
        UsageError, match=r"image-folder \(.*; or spots \(a folder of spots\).*with --format or.*--task"
    ):
        read_samples(folder)
    assert list(read_samples(folder, task="spots").truth) == ["spots"]
    assert list(read_samples(folder, format="image-folder").truth) == ["classification"]
    labels = {"classification": class_truth(np.array([0, 1]), ("a", "b"))["classification"]}
    monkeypatch.setitem(SOURCES, "spots", source(SHAPE, "classification", lambda: labels))
    with pytest.raises(UsageError, match=r"Say which it is with --format\."):
        read_samples(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "image-foldr"}, "Unknown format 'image-foldr'. Did you mean image-folder"),
        ({"task": "clasification"}, "Unknown task 'clasification'. Did you mean classification"),
        ({"format": "image-table"}, "the table can not be read"),
    ],
)
def test_names_that_are_in_no_table(folder: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_samples(folder, **options)  # type: ignore[arg-type]


def test_truth_that_does_not_fit_its_task_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "spots", source(LAYOUT, "classification", lambda: {"classification": points(0, 1)}))
    with pytest.raises(UsageError, match="spots read Points for classification; expected ClassLabels"):
        read_samples(folder)


def test_a_format_of_an_installed_package(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In a process of its own, as a server's workers are."""
    package = tmp_path_factory.mktemp("package")
    (package / "spotted-1.0.dist-info").mkdir()
    (package / "spotted-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: spotted\nVersion: 1.0\n")
    (package / "spotted-1.0.dist-info/entry_points.txt").write_text("[pocketvision.sources]\nspotted = spotted:ROW\n")
    example = next(
        code for code in re.findall(r"```python\n(.*?)```", EXTENDING.read_text(), re.DOTALL) if "Source(" in code
    )
    (package / "spotted.py").write_text(example)
    (folder / "a").rename(folder / "good")
    (folder / "b").rename(folder / "defects")
    script = (
        "import sys; from pocketvision.data.sources.catalog import read_samples\n"
        "for options in ({}, {'format': 'spotted'}, {'format': 'image-folder'}):\n"
        "    found = read_samples(sys.argv[1], **options); print(found.class_names, found.reading)\n"
    )
    paths = os.pathsep.join(map(str, (package, Path(pocketvision.__file__).parents[1])))
    child = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.stdout.splitlines() == [
        "('good', 'defect') ('Read as spotted, not as image-folder; --format says otherwise.',)",
        "('good', 'defect') ()",
        "('defects', 'good') ()",
    ], child.stderr


def test_images_without_any_truth_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = ClassLabels(np.array([0, -1], np.int32), ("a",))
    monkeypatch.setitem(
        SOURCES, "spots", source(LAYOUT, "spots", lambda: {"spots": points(-1, -1), "classification": labels})
    )
    with pytest.raises(UsageError, match=r"1 of 2 images have no truth for any task, such as 'b/0\.png'"):
        read_samples(folder)
    monkeypatch.setitem(
        SOURCES, "spots", source(LAYOUT, "spots", lambda: {"spots": points(-1, 0), "classification": labels})
    )
    assert len(read_samples(folder)) == 2
