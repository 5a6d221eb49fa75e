"""fit: the most accurate bundle within a budget; steps that are found again; what is refused."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pocketvision.bundle import Bundle, read_bundle
from pocketvision.cli.main import main
from pocketvision.compression.budget import Budget
from pocketvision.compression.settings import CANDIDATES
from pocketvision.compression.trial_settings import TrialSettings
from pocketvision.errors import AgreementError, MissingExtraError, UsageError
from pocketvision.progress import Event, Note
from pocketvision.runtime.backends import BACKENDS, BackendRow, default_backend
from pocketvision.runtime.verify import verify_bundle
from pocketvision.workflows import fit as workflow
from pocketvision.workflows.fit import FitResult, fit
from pocketvision.workflows.load import load
from pocketvision.workflows.quantize import quantize
from pocketvision.workflows.train import TrainResult

QUICK = TrialSettings(epochs=0.2, batch=8, epochs1=1, epochs2=1, calibration=8)
CHEAP: dict[str, Any] = {"kinds": ("size", "int8"), "backends": ("onnxruntime",), "settings": QUICK, "seconds": 0.05}


@pytest.fixture(scope="module", autouse=True)
def two_candidates_for_8_bits() -> Iterator[None]:
    """Not all of them: their choice has tests of its own, and each takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CANDIDATES, "onnxruntime", CANDIDATES["onnxruntime"][:2])
        yield


@pytest.fixture(scope="module")
def bundle(trained: TrainResult) -> Bundle:
    return trained.bundle


@pytest.fixture(scope="module")
def half(bundle: Bundle) -> Budget:
    """Half of the float file, at any speed and whatever it costs: 8 bits it is."""
    return Budget(None, 0.5 * bundle.manifest.files["model.onnx"].size, 100)


@pytest.fixture(scope="module")
def fitted(bundle: Bundle, half: Budget, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return fit(bundle.folder, half, out=tmp_path_factory.mktemp("fit") / "small", **CHEAP)


def again(fitted: FitResult, folder: Path) -> Path:
    """A copy of the steps beside a place for another result."""
    shutil.copytree(fitted.trials_folder, folder / "small.steps")
    return folder / "small"


def making(notes: list[str]) -> list[str]:
    return [text.removeprefix("Making ") for text in notes if text.startswith("Making ")]


def collecting(notes: list[str]) -> Any:
    def on_event(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    return on_event


def test_the_most_accurate_within_the_budget_is_written(fitted: FitResult, half: Budget, photos: Path) -> None:
    assert [each.trial for each in fitted.trials] == ["as-it-is", "size-32", "as-it-is-int8", "size-32-int8"]
    within = [each for each in fitted.trials if half.bytes is not None and each.bytes <= half.bytes]
    assert [each.trial for each in within] == ["as-it-is-int8", "size-32-int8"]
    assert fitted.chosen in within and not fitted.chosen.misses
    assert fitted.chosen.comparison.accuracy == max(each.comparison.accuracy or 0 for each in within)
    assert fitted.bundle is not None
    written = read_bundle(fitted.bundle.folder)
    assert verify_bundle(written).backends["onnxruntime"] < 1e-3
    assert written.manifest.files["model.onnx"].size == fitted.chosen.bytes
    assert written.manifest.backend == "onnxruntime"
    assert written.manifest.compression["fit"]["chosen"] == fitted.chosen.title
    assert written.manifest.baseline == read_bundle(fitted.chosen.folder).manifest.baseline != {}
    assert load(written.folder)(next(photos.glob("*/*.png"))).label in written.labels


def test_a_step_is_judged_by_its_own_answers(fitted: FitResult, bundle: Bundle) -> None:
    """Accuracies are those that the written steps really have, on the run's own validation split."""
    with (bundle.folder.parent / "split.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    for each in fitted.trials:
        predictor = load(each.folder, backend=each.backend)
        right = [predictor(row["path"]).label == row["label"] for row in rows]
        assert each.comparison.accuracy == pytest.approx(sum(right) / len(right))
        assert each.comparison.images == len(rows)
    resized = read_bundle(fitted.trials[1].folder)
    assert resized.preprocessing.height == 32
    assert resized.manifest.baseline["confidence"].images == len(rows)
    assert resized.manifest.baseline["confidence"] != bundle.manifest.baseline["confidence"]


def test_the_table_the_front_and_the_plot_are_left(fitted: FitResult) -> None:
    kept = json.loads((fitted.trials_folder / "fit.json").read_text())
    assert kept == json.loads(json.dumps(fitted.to_dict()))
    front = [each for each in fitted.trials if each.best_of_its_cost]
    assert front
    for each in fitted.trials:
        beaten = any(
            other.bytes <= each.bytes
            and other.latency.latency_ms <= each.latency.latency_ms
            and (other.comparison.drop or 0) <= (each.comparison.drop or 0)
            and other is not each
            for other in fitted.trials
        )
        assert each.best_of_its_cost == (not beaten)
    assert fitted.plot.read_bytes().startswith(b"\x89PNG")


def test_a_repeated_command_makes_nothing_again(
    fitted: FitResult, bundle: Bundle, half: Budget, tmp_path: Path
) -> None:
    notes: list[str] = []
    found = fit(bundle.folder, half, out=again(fitted, tmp_path), on_event=collecting(notes), **CHEAP)
    assert making(notes) == []
    assert [each.comparison for each in found.trials] == [each.comparison for each in fitted.trials]


@pytest.mark.slow
def test_what_a_changed_setting_is_part_of_is_made_again(
    fitted: FitResult, bundle: Bundle, half: Budget, tmp_path: Path
) -> None:
    notes: list[str] = []
    changed = CHEAP | {"settings": TrialSettings(epochs=0.2, batch=8, calibration=9)}
    fit(bundle.folder, half, out=again(fitted, tmp_path), on_event=collecting(notes), **changed)
    assert making(notes) == ["as-it-is-int8", "size-32-int8"]


@pytest.mark.slow
def test_a_damaged_step_is_made_again(fitted: FitResult, bundle: Bundle, half: Budget, tmp_path: Path) -> None:
    notes: list[str] = []
    out = again(fitted, tmp_path)
    (tmp_path / "small.steps/size-32/model.onnx").write_bytes(b"half")
    fit(bundle.folder, half, out=out, on_event=collecting(notes), **CHEAP)
    assert making(notes) == ["size-32"]


@pytest.mark.slow
def test_the_8_bit_settings_that_won_are_tried_first_on_the_others(
    fitted: FitResult, bundle: Bundle, half: Budget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(folder: Path, name: str) -> dict[str, Any]:
        return dict(read_bundle(folder / name).manifest.compression)

    first, second = (record(fitted.trials_folder, name) for name in ("as-it-is-int8", "size-32-int8"))
    assert len(first["candidates"]) + first["untried"] == 2 and second["untried"] == 0
    assert [each["title"] for each in second["candidates"]] == [first["quantization"]["title"]]

    def only_all(*given: Any, candidates: object, **options: Any) -> object:
        if candidates is not None:
            raise AgreementError("it loses too much here")
        return quantize(*given, candidates=candidates, **options)

    shutil.copytree(fitted.trials_folder, tmp_path / "small.steps")
    shutil.rmtree(tmp_path / "small.steps/size-32-int8")
    monkeypatch.setattr(workflow, "quantize", only_all)
    fit(bundle.folder, half, out=tmp_path / "small", **CHEAP)
    again_from_all = record(tmp_path / "small.steps", "size-32-int8")
    assert len(again_from_all["candidates"]) + again_from_all["untried"] == 2


@pytest.mark.slow
def test_an_interrupted_command_goes_on(
    bundle: Bundle, half: Budget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(workflow, "quantize", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(bundle.folder, half, out=tmp_path / "small", **CHEAP)
    assert not (tmp_path / "small").exists()
    notes: list[str] = []
    found = fit(bundle.folder, half, out=tmp_path / "small", on_event=collecting(notes), **CHEAP)
    assert making(notes) == ["as-it-is-int8", "size-32-int8"] and found.bundle is not None


@pytest.mark.slow
@pytest.mark.parametrize("trained_anew", [(), ("efficientnet_lite0",)])
def test_out_of_reach_everything_is_tried_and_the_nearest_is_named(
    trained_anew: tuple[str, ...], bundle: Bundle, tmp_path: Path
) -> None:
    options = CHEAP | {"kinds": ("tuned-size", "pruning", "network"), "networks": (*trained_anew, "small_cnn")}
    found = fit(bundle.folder, Budget(None, 1000, 100), out=tmp_path / "tiny", **options)
    assert found.bundle is None and found.chosen is None and not (tmp_path / "tiny").exists()
    assert [each.trial for each in found.trials] == [
        "as-it-is",
        "tuned-size-32",
        "pruned-60",
        "pruned-36",
        *trained_anew,
    ]
    assert "No weights of small_cnn are published" in found.failed["small_cnn"]
    assert found.nearest.trial == "pruned-36" == min(found.trials, key=lambda each: each.bytes).trial
    assert found.nearest.misses == {"size": found.nearest.bytes / 1000}
    # Whatever trained learned from the run's own training split, and nothing else.
    with (bundle.folder.parent / "split.csv").open() as file:
        split = {row["path"]: row["split"] for row in csv.DictReader(file)}
    for table in ("images.csv", *(f"{name}/split.csv" for name in trained_anew)):
        with (found.trials_folder / table).open() as file:
            assert {row["path"]: row["split"] for row in csv.DictReader(file)} == split


@pytest.mark.slow
def test_training_is_not_begun_when_something_cheaper_is_enough(
    fitted: FitResult, bundle: Bundle, half: Budget, tmp_path: Path
) -> None:
    options = CHEAP | {"kinds": ("size", "int8", "tuned-size", "pruning")}
    notes: list[str] = []
    out = again(fitted, tmp_path)
    found = fit(bundle.folder, half, out=out, on_event=collecting(notes), **options)
    assert making(notes) == [] and found.bundle is not None
    options = options | {"kinds": ("size", "int8", "tuned-size")}
    fit(bundle.folder, half, out=out, everything=True, on_event=collecting(notes), **options)
    assert making(notes) == ["tuned-size-32", "tuned-size-32-int8"]


@pytest.mark.slow
def test_a_refused_8_bits_is_a_line_of_the_table(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocketvision.tasks.classification.comparison.ClassComparison.within", lambda *_: False)
    notes: list[str] = []
    options = CHEAP | {"kinds": ("int8",)}
    for _ in range(2):
        found = fit(bundle.folder, Budget(1e6, None), out=tmp_path / "small", on_event=collecting(notes), **options)
        assert "No bundle was written. The best of" in found.failed["as-it-is-int8"]
        assert found.chosen is not None and found.chosen.trial == "as-it-is"
    assert making(notes) == ["as-it-is-int8"], "the second time the refusal is remembered"


def test_the_fitted_backend_opens_by_default_where_it_is_installed(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    chosen = replace(tiny_bundle, manifest=replace(tiny_bundle.manifest, backend="openvino"))
    assert default_backend(tiny_bundle) == "onnxruntime" and default_backend(chosen) == "openvino"
    row = BACKENDS["openvino"]
    monkeypatch.setitem(BACKENDS, "openvino", BackendRow(row.files, row.open, "no_such_module", row.extra))
    assert default_backend(chosen) == "onnxruntime"


def test_what_is_refused_before_the_work(bundle: Bundle, fitted: FitResult, tmp_path: Path) -> None:
    budget, out = Budget(8, None), tmp_path / "out"
    assert fitted.bundle is not None
    cases: list[tuple[dict[str, Any], str]] = [
        ({"kinds": ("shrink",)}, "Unknown step to --try 'shrink'"),
        ({"backends": ("onxruntime",)}, "Unknown backend 'onxruntime'. Did you mean onnxruntime"),
        ({"backends": ("executorch",)}, "has no file that executorch runs; `pocketvision export` adds files"),
        ({"networks": ("mobilenet_v9",)}, "Unknown"),
        ({"plot": tmp_path / "plot.pdf"}, "expected a name that ends in .png or .svg"),
        ({"out": bundle.folder}, "is the bundle itself"),
        ({"data": tmp_path / "nowhere"}, "nowhere"),
    ]
    for options, message in cases:
        with pytest.raises(UsageError) as refused:
            fit(bundle.folder, budget, **{"out": out, **options})
        assert message in str(refused.value)
    with pytest.raises(UsageError, match="it was quantized"):
        fit(fitted.bundle.folder, budget, out=out)
    with pytest.raises(UsageError, match="nothing of --try size,tuned-size makes it smaller: add int8, pruning"):
        fit(bundle.folder, Budget(None, 1000), out=out, kinds=("size", "tuned-size"))
    shutil.copytree(bundle.folder, tmp_path / "alone")
    with pytest.raises(UsageError, match="lies in no run, so it is not known which images to learn from: give --data"):
        fit(tmp_path / "alone", budget, out=out)
    assert not out.exists()


def test_an_absent_backend_is_named_with_its_install_line(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    row = BACKENDS["openvino"]
    monkeypatch.setitem(BACKENDS, "openvino", BackendRow(row.files, row.open, "no_such_module", row.extra))
    with pytest.raises(MissingExtraError, match=r'pip install "pocketvision\[openvino\]"'):
        fit(bundle.folder, Budget(8, None), backends=("openvino",))


@pytest.mark.slow
def test_the_command_line(
    fitted: FitResult, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = again(fitted, tmp_path)
    shared = ["fit", str(bundle.folder), "--out", str(out), "--try", "size", "--backends", "onnxruntime"]
    with pytest.raises(SystemExit) as done:
        main([*shared, "--latency", "1000s"])
    printed = capsys.readouterr().out
    assert not done.value.code and f"Bundle: {out}" in printed and "Pareto front" in printed and "size-32" in printed
    with pytest.raises(SystemExit) as done:
        main([*shared, "--latency", "0.1us"])
    printed = capsys.readouterr().out
    assert done.value.code == 1
    assert "Nothing keeps to the budget. Nearest: " in printed and "ms of 0.0001 ms" in printed
    for wrong in (["--latency", "soon"], [], ["--size", "5ms"]):
        with pytest.raises(SystemExit) as done:
            main([*shared, *wrong])
        assert done.value.code == 2
