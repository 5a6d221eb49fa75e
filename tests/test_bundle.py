"""The bundle: written whole or not at all, read strictly, damage named."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketvision.baseline import baseline_of
from pocketvision.bundle import Bundle, read_bundle, require_place, resolve, rewrite_bundle, write_bundle
from pocketvision.errors import BundleError, UsageError

GOLDEN = "golden.safetensors"


def rewrite(bundle: Bundle, folder: Path | None = None, **files: Path | bytes) -> Bundle:
    """The same bundle written once more, with other or further files (`__` in a name stands for a dot)."""
    kept: dict[str, Path | bytes] = {name: bundle.path(name) for name in bundle.manifest.files if name != GOLDEN}
    golden = bundle.golden()
    images = golden.pop("images")
    given = {name.replace("__", "."): content for name, content in files.items()}
    return write_bundle(folder or bundle.folder, bundle.manifest, {**kept, **given}, images, golden)


def edit(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> None:
    path = bundle.folder / "manifest.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def test_what_is_written_is_read(tiny_bundle: Bundle) -> None:
    found = read_bundle(tiny_bundle.folder)
    assert found == tiny_bundle
    assert found.labels == ("red", "green", "파랑")
    assert found.preprocessing.height == 16
    assert found.task.postprocessing == {"temperature": 2.0}
    assert found.manifest.graphs[0].inputs[0].shape == ("batch", 3, 16, 16)
    assert sorted(found.manifest.files) == ["golden.safetensors", "model.onnx"]
    assert {"python", "numpy", "onnxruntime"} <= set(found.manifest.versions)
    assert found.golden()["images"].shape == (3, 3, 16, 16)
    first = next(iter(json.loads((found.folder / "manifest.json").read_text(encoding="utf-8"))))
    assert first == "format_version"


def test_the_files_are_as_readable_as_any_other(tiny_bundle: Bundle) -> None:
    if os.name == "posix":
        assert tiny_bundle.folder.stat().st_mode & 0o555 == 0o555
    assert [path.name for path in tiny_bundle.folder.parent.iterdir()] == ["tiny_bundle"], "nothing temporary is left"


def test_an_older_bundle_is_replaced_whole(tiny_bundle: Bundle) -> None:
    rewrite(tiny_bundle, notes__txt=b"first")
    second = rewrite(tiny_bundle, other__txt=b"second")
    assert sorted(path.name for path in second.folder.iterdir()) == [
        "golden.safetensors",
        "manifest.json",
        "model.onnx",
        "other.txt",
    ]
    assert [path.name for path in second.folder.parent.iterdir()] == ["tiny_bundle"]


def test_a_failure_leaves_the_older_bundle_and_nothing_else(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rewrite(tiny_bundle, notes__txt=tmp_path / "absent")
    assert read_bundle(tiny_bundle.folder) == tiny_bundle
    assert [path.name for path in tmp_path.iterdir()] == ["tiny_bundle"]


def test_a_folder_that_is_no_bundle_is_not_replaced(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(UsageError, match="exists and is not a bundle"):
        rewrite(tiny_bundle, tmp_path / "photos")
    (tmp_path / "empty").mkdir()
    assert rewrite(tiny_bundle, tmp_path / "empty").folder == tmp_path / "empty"


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "sub/../../file",
        "sub/../file",
        "./file",
        "sub//file",
        "sub\\file",
        "/etc/passwd",
        "manifest.json",
        "manifest.json/file",
        "..",
        ".",
        "",
    ],
)
def test_names_that_lead_out_of_the_folder_are_refused(name: str, tiny_bundle: Bundle) -> None:
    edit(tiny_bundle, lambda values: values["files"].update({name: {"size": 1, "sha256": ""}}))
    with pytest.raises(BundleError, match="not the name of a file in the bundle's folder"):
        read_bundle(tiny_bundle.folder)


def test_files_may_lie_in_folders(tiny_bundle: Bundle, tmp_path: Path) -> None:
    written = rewrite_bundle(
        tiny_bundle, tiny_bundle.manifest, {"a.package/inner/weights.bin": b"12"}, folder=tmp_path / "copy"
    )
    file = written.path("a.package/inner/weights.bin")
    assert file.read_bytes() == b"12" and read_bundle(tmp_path / "copy").manifest == written.manifest
    file.write_bytes(b"13")
    with pytest.raises(BundleError, match=r"a\.package/inner/weights\.bin: the file is damaged"):
        read_bundle(tmp_path / "copy")


def test_golden_tensors_must_fit(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="golden tensors have the shapes"):
        write_bundle(
            tiny_bundle.folder,
            tiny_bundle.manifest,
            {"model.onnx": b""},
            np.zeros((1, 3, 8, 8), dtype=np.float32),
            {"logits": np.zeros((1, 3), dtype=np.float32)},
        )
    assert read_bundle(tiny_bundle.folder) == tiny_bundle


# Damage


def test_a_changed_file_is_named_with_its_hash(tiny_bundle: Bundle) -> None:
    path = tiny_bundle.path("model.onnx")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        BundleError, match=r"model\.onnx: the file is damaged: its SHA-256 is [0-9a-f]{64}; the manifest"
    ):
        read_bundle(tiny_bundle.folder)
    assert read_bundle(tiny_bundle.folder, check_hashes=False).labels


def test_a_cut_or_missing_file_is_named(tiny_bundle: Bundle) -> None:
    path = tiny_bundle.path("model.onnx")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BundleError, match=r"model\.onnx: the file is damaged: it has 100 bytes"):
        read_bundle(tiny_bundle.folder, check_hashes=False)
    path.unlink()
    with pytest.raises(BundleError, match=r"model\.onnx: the file is missing"):
        read_bundle(tiny_bundle.folder)


def test_what_is_no_bundle_says_what_one_is(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"there is no such folder; a bundle is the folder with a manifest\.json"):
        read_bundle(tmp_path / "nowhere")
    (tmp_path / "photos").mkdir()
    with pytest.raises(BundleError, match=r"it holds no manifest\.json; a bundle is"):
        read_bundle(tmp_path / "photos")
    with pytest.raises(BundleError, match="it is a file, not a folder; a bundle is"):
        read_bundle(tiny_bundle.path("model.onnx"))
    (tiny_bundle.folder / "manifest.json").write_text("{not json", encoding="utf-8")
    with pytest.raises(BundleError, match=r"manifest\.json: it can not be read"):
        read_bundle(tiny_bundle.folder)
    (tiny_bundle.folder / "manifest.json").write_text("[]", encoding="utf-8")
    with pytest.raises(BundleError, match="not a bundle's manifest"):
        read_bundle(tiny_bundle.folder)


def test_a_newer_format_says_upgrade(tiny_bundle: Bundle) -> None:
    edit(tiny_bundle, lambda values: values.update(format_version=3, tasks="of another shape"))
    with pytest.raises(BundleError, match=r"of format 3, and this PocketVision reads formats up to 2\. Upgrade it"):
        read_bundle(tiny_bundle.folder)


def test_a_newer_format_names_the_version_that_wrote_it(tiny_bundle: Bundle) -> None:
    edit(tiny_bundle, lambda values: values.update(format_version=3, versions={"pocketvision": "0.9.2"}))
    with pytest.raises(BundleError, match=r'of format 3.*pip install --upgrade "pocketvision>=0\.9\.2"'):
        read_bundle(tiny_bundle.folder)
    edit(tiny_bundle, lambda values: values.update(versions={"pocketvision": "; rm -rf"}))
    with pytest.raises(BundleError, match=r"pip install --upgrade pocketvision$"):
        read_bundle(tiny_bundle.folder)


def test_a_field_of_a_later_version_is_passed_over(tiny_bundle: Bundle) -> None:
    edit(tiny_bundle, lambda values: values.update(author="somebody"))
    assert read_bundle(tiny_bundle.folder) == tiny_bundle


def test_a_baseline_is_read_as_it_was_written_and_need_not_be_there(tiny_bundle: Bundle) -> None:
    measured = baseline_of({"classification": np.array([0.4, 0.97])}, np.array([0.1, 0.6]), "val")
    written = rewrite_bundle(tiny_bundle, replace(tiny_bundle.manifest, baseline=measured))
    assert read_bundle(written.folder).manifest.baseline == measured
    edit(tiny_bundle, lambda values: values.pop("baseline"))
    assert read_bundle(tiny_bundle.folder).manifest.baseline == {}


def labels(values: dict[str, Any]) -> list[Any]:
    found: list[Any] = values["tasks"]["classification"]["labels"]
    return found


def bins(edges: list[float], counts: list[float]) -> dict[str, Any]:
    return {"edges": edges, "counts": counts, "split": "val"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("graphs"), "the field 'graphs' is missing"),
        (lambda v: v["tasks"]["classification"].pop("kind"), r"the field 'tasks\.classification\.kind' is missing"),
        (lambda v: labels(v).append(7), r"the field 'tasks\.classification\.labels\[3\]' is 7; expected str"),
        (lambda v: labels(v).append("red"), "expected distinct names"),
        (lambda v: v["graphs"][0]["inputs"][0].update(shape=[1.5]), r"shape\[0\]' is 1.5; expected int or str"),
        (lambda v: v["files"]["model.onnx"].update(size="big"), r"'files\.model\.onnx\.size' is 'big'; expected int"),
        (lambda v: v.update(files=[]), r"'files' is \[\]; expected an object"),
        (lambda v: v.update(graphs={}), r"'graphs' is \{\}; expected a list"),
        (lambda v: v["preprocessing"].pop("mean"), "preprocessing: the field 'mean' is missing"),
        (lambda v: v["files"].pop("model.onnx"), "names the file 'model.onnx', which is not in `files`"),
        (lambda v: v.update(tasks={}), "0 tasks"),
        (
            lambda v: v.update(baseline={"confidence": bins([0.5, 1.0], [3])}),
            "'baseline.confidence' is wrong: counts are",
        ),
        (
            lambda v: v.update(baseline={"confidence": bins([1.0, 0.5], [3, 4])}),
            "edges are .*; expected rising numbers",
        ),
        (lambda v: v.update(baseline={"confidence": bins([1.0], [0.5])}), r"'baseline.confidence.counts\[0\]' is 0.5"),
    ],
)
def test_a_wrong_field_is_named(change: Callable[[dict[str, Any]], object], message: str, tiny_bundle: Bundle) -> None:
    edit(tiny_bundle, change)
    with pytest.raises(BundleError, match=message) as caught:
        read_bundle(tiny_bundle.folder)
    assert str(tiny_bundle.folder / "manifest.json") in str(caught.value)


def test_unknown_files(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"no file 'model\.xml'; it has model\.onnx, golden\.safetensors"):
        tiny_bundle.path("model.xml")


def task_of(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = values["tasks"]["classification"]
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda v: task_of(v).update(kind="clasification"),
            r"'classification' is of a kind .* Did you mean classification",
        ),
        (lambda v: task_of(v).update(kind="horoscope"), r"Unknown kind of task .horoscope.*upgrade pocketvision"),
        (lambda v: task_of(v)["outputs"].pop("logits"), "names no output for logits"),
        (lambda v: task_of(v)["outputs"].update(logits="scores"), "the graph 'classifier' has no output scores"),
        (lambda v: v["graphs"][0]["outputs"].pop(), "no output probabilities, .* it has logits"),
        (lambda v: v.update(tasks={"Two words": task_of(v)}), "'Two words' is no task's name"),
    ],
)
def test_a_task_that_can_not_be_answered(
    change: Callable[[dict[str, Any]], object], message: str, tiny_bundle: Bundle
) -> None:
    edit(tiny_bundle, change)
    with pytest.raises(BundleError, match=message):
        read_bundle(tiny_bundle.folder)


def test_outputs_are_by_role_and_were_listed_before(tiny_bundle: Bundle) -> None:
    written = json.loads((tiny_bundle.folder / "manifest.json").read_text(encoding="utf-8"))
    assert task_of(written)["outputs"] == {"logits": "logits", "probabilities": "probabilities"}
    edit(tiny_bundle, lambda values: task_of(values).update(outputs=["logits", "probabilities"]))
    assert read_bundle(tiny_bundle.folder).task.outputs == tiny_bundle.task.outputs


def test_a_bundle_can_be_copied_anywhere(tiny_bundle: Bundle, tmp_path: Path) -> None:
    moved = tmp_path / "다른 곳 😀"
    shutil.copytree(tiny_bundle.folder, moved)
    assert read_bundle(moved).manifest == tiny_bundle.manifest


def with_metrics(bundle: Bundle, **metrics: dict[str, Any]) -> Bundle:
    task = replace(bundle.task, metrics=metrics)
    return replace(bundle, manifest=replace(bundle.manifest, tasks={"classification": task}))


def test_the_test_figure_is_the_headline_and_each_has_its_word(tiny_bundle: Bundle) -> None:
    test = {"accuracy": 0.935, "images": 372, "intervals": {"accuracy": [0.906, 0.956]}, "left_out": 5}
    measured = with_metrics(tiny_bundle, selection={"accuracy": 1.0, "images": 1}, test=test)
    assert measured.headline == "Accuracy 93.5 % (90.6 to 95.6), test, 372 images"
    assert [figure.text for figure in measured.figures][1] == "Accuracy 100.0 %, selection, 1 image"
    assert measured.figures[0].left_out == 5 and measured.measured == test
    assert with_metrics(tiny_bundle, selection=test).headline.endswith("selection, 372 images")
    learned = with_metrics(tiny_bundle, selection={**test, "role": "learned"})
    assert learned.headline.endswith("selection, 372 images that it learned from")
    smaller = replace(measured, manifest=replace(measured.manifest, compression={"pruning": {}}))
    assert smaller.headline.endswith("372 images, before compression")


@pytest.mark.parametrize(
    "metrics", [{}, {"test": {"accuracy": "high"}}, {"test": {"images": 3}}, {"other": {"accuracy": 1.0, "images": 2}}]
)
def test_what_is_no_figure_is_passed_over(tiny_bundle: Bundle, metrics: dict[str, dict[str, Any]]) -> None:
    measured = with_metrics(tiny_bundle, **metrics)
    assert (measured.headline, measured.figures, dict(measured.measured)) == ("", (), {})


def test_a_runs_folder_stands_for_its_bundle(tiny_bundle: Bundle, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    with pytest.raises(BundleError, match=r"a run that has no bundle yet.*--resume"):
        read_bundle(run)
    shutil.copytree(tiny_bundle.folder, run / "bundle")
    assert resolve(run) == resolve(run / "bundle") == run / "bundle"
    assert read_bundle(run).folder == run / "bundle"
    assert resolve(tmp_path / "absent") == tmp_path / "absent"


def test_a_place_for_a_bundle_is_checked_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("mine")
    for taken in ("file", "photos"):
        with pytest.raises(UsageError, match=f"{taken} exists and is not a bundle"):
            require_place(tmp_path / taken)
    with pytest.raises(OSError, match="file"):
        require_place(tmp_path / "file" / "out")
    before = sorted(tmp_path.rglob("*"))
    require_place(tmp_path / "new" / "deep" / "bundle")
    assert sorted(tmp_path.rglob("*")) == before
