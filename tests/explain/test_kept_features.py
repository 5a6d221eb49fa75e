"""What a training keeps of what its network makes of pictures, against what the bundle that ships makes of them."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from seeing import run

import pocketvision
from pocketvision.bundle import Bundle, read_bundle
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import BundleError, TrainingError, UsageError
from pocketvision.evaluation.novelty_fit import FeatureReader, fit_novelty, fit_on_features, require_ordinary
from pocketvision.explain.embeddings import vectors_of
from pocketvision.explain.kept_features import keep_features
from pocketvision.explain.subject import Subject
from pocketvision.explain.training_pictures import kept_of_run
from pocketvision.models.network import Network
from pocketvision.runtime.novelty import FILE, moved, novelty_of, read_novelty, telling
from pocketvision.tasks.manifest import NOVEL_FROM
from pocketvision.training.final_features import MOST, FinalFeatures, evenly_chosen
from pocketvision.training.run_folder import RunFolder
from pocketvision.workflows.export import export
from pocketvision.workflows.threshold import threshold
from pocketvision.workflows.training_run import TrainResult

GRAPH = "model.onnx"


@pytest.fixture(scope="module")
def bundle(trained: TrainResult) -> Bundle:
    return read_bundle(trained.bundle.folder)


@pytest.fixture
def own(bundle: Bundle, tmp_path: Path) -> Bundle:
    """A copy to change."""
    return read_bundle(Path(shutil.copytree(bundle.folder, tmp_path / "bundle")))


def test_a_training_keeps_what_the_command_would_fit(trained: TrainResult, bundle: Bundle) -> None:
    split = read_samples(trained.run / "split.csv")
    learned, others = (split.select(split.split_indices(each)) for each in ("train", "val"))
    kept, fitted = read_novelty(bundle), fit_novelty(bundle, "classification", learned, others, 0.3)
    assert (kept.value, kept.sha256) == (fitted.value, fitted.sha256) and len(kept.ordinary) == len(others)
    read = FeatureReader(bundle, bundle.path(GRAPH).read_bytes(), kept.value)
    features, _ = read([split.file(row) for row in range(len(split))])
    expected = fitted.distances(features)
    assert np.allclose(kept.distances(features), expected, atol=0.02 * np.abs(expected).max())


def test_it_says_nothing_until_it_is_asked(bundle: Bundle, picture: Path, own: Bundle) -> None:
    assert novelty_of(bundle, GRAPH) is None and NOVEL_FROM not in bundle.tasks["classification"].postprocessing
    assert novelty_of(telling(bundle), GRAPH) is not None
    assert telling(telling(bundle, 0.7)).tasks["classification"].postprocessing[NOVEL_FROM] == 0.7
    changed = threshold(own.folder, none_of_these=0.25).bundle
    assert changed.tasks["classification"].postprocessing[NOVEL_FROM] == 0.75
    assert 0 <= pocketvision.load(changed.folder)(picture).novelty <= 1
    with pytest.raises(UsageError, match="at least 10000 ordinary pictures"):
        threshold(own.folder, none_of_these=0.0001)
    with pytest.raises(UsageError, match="expected a share between 0 and 1"):
        require_ordinary(read_novelty(own), 1.0)


def test_predict_unsure_says_it(bundle: Bundle, picture: Path, tmp_path: Path, plain: Bundle) -> None:
    for name, arguments in (("told", ["--unsure"]), ("usual", [])):
        assert run("predict", bundle.folder, picture, "--out", tmp_path / f"{name}.csv", *arguments) == 0
    told, usual = (
        next(csv.DictReader((tmp_path / f"{name}.csv").open(encoding="utf-8"))) for name in ("told", "usual")
    )
    assert {"none_of_these", "unsure"} == set(told) - set(usual)
    assert run("predict", plain.folder, picture, "--unsure") == 1  # its training kept nothing


def test_the_run_keeps_embeddings_of_its_training_pictures(trained: TrainResult, bundle: Bundle) -> None:
    subject = Subject.of(bundle)
    kept, split = kept_of_run(subject), read_samples(trained.run / "split.csv")
    assert kept is not None
    assert sorted(kept.files) == sorted(split.file(row) for row in split.split_indices("train").tolist())
    images = np.stack([bundle.preprocessing.place(file)[0] for file in kept.files[:6]])
    assert np.allclose((vectors_of(subject, images) * kept.vectors[:6]).sum(axis=1), 1, atol=1e-3)


def test_other_graphs_of_the_network_tell_it_too(own: Bundle, picture: Path, shared_bundle: Bundle) -> None:
    before = pocketvision.load(threshold(own.folder, none_of_these=0.25).bundle.folder)(picture).novelty
    mapped = export(own.folder, ["onnx"], with_map=True, seconds=0.01).bundle
    assert mapped.manifest.files[GRAPH].sha256 != own.manifest.files[GRAPH].sha256
    assert pocketvision.load(mapped.folder)(picture).novelty == pytest.approx(before, abs=1e-6)
    with pytest.raises(UsageError, match="linear layer"):
        moved(mapped, shared_bundle.path(GRAPH).read_bytes())


def test_what_is_of_another_graph_is_said(own: Bundle) -> None:
    other = replace(read_novelty(own), sha256="0" * 64)
    (own.folder / FILE).write_bytes(other.content())
    with pytest.raises(BundleError, match="another graph"):
        telling(own)


def test_features_that_are_not_the_graphs_are_not_kept(trained: TrainResult, bundle: Bundle) -> None:
    split = read_samples(trained.run / "split.csv")
    size = read_novelty(bundle).weights.shape[0]
    features = np.random.default_rng(0).normal(size=(8, size)).astype(np.float32)
    for wrong in (features, features[:, :-1]):
        with pytest.raises(UsageError, match=r"not those of model\.onnx"):
            fit_on_features(bundle, "classification", wrong, np.arange(8) % 2, wrong, split.file(0))


def test_the_deepest_means_by_hand() -> None:
    class Declared:
        def feature(self, name: str) -> object:
            return type("Feature", (), {"cut": {"pool:stage1": 2, "max:stage1": 2, "grid:stage0": 1}[name]})

    network: Network = Declared()  # type: ignore[assignment]
    grids = np.repeat(np.array([[1.0, 5.0]], np.float32), 16, axis=1)
    values = {"grid:stage0": grids, "pool:stage1": 7 * np.ones((1, 3), np.float32), "max:stage1": grids}
    found = FinalFeatures(np.zeros(1, np.int64), values)
    assert found.deepest(network).tolist() == [[7, 7, 7]]
    assert FinalFeatures(found.rows, {"grid:stage0": grids}).deepest(network).tolist() == [[1, 5]]
    assert found.joined(("pool:stage1", "grid:stage0")).shape == (1, 35)


def test_at_most_so_many_are_taken_each_once() -> None:
    assert evenly_chosen(np.array([4, 2, 4])).tolist() == [2, 4]
    many = evenly_chosen(np.arange(3 * MOST))
    assert len(many) == MOST and (many[0], many[-1]) == (0, 3 * MOST - 1) and np.diff(many).min() > 0


@pytest.mark.parametrize(
    ("error", "told"), [(OSError("disk full"), 1), (TrainingError("disk full"), 1), (UsageError("no"), 0)]
)
def test_a_training_is_not_lost_for_it(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("pocketvision.explain.kept_features._kept", fail)
    said: list[str] = []
    inputs = SimpleNamespace(images=SimpleNamespace(samples=SimpleNamespace(windows=None)))
    ended = SimpleNamespace(fed=(None, inputs), interrupted=False, network=None)
    log = SimpleNamespace(note=said.append)
    assert keep_features(RunFolder(tmp_path), bundle, ended, None, log) is bundle  # type: ignore[arg-type]
    assert len(said) == told and all("is not kept: disk full" in each for each in said)


def test_nothing_is_read_of_all_pictures_where_nothing_can_be_kept(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head that is no layer on features, and a deepest map that is another than the file's."""
    asked: list[int] = []

    def features(_part: object, _inputs: object, rows: np.ndarray) -> FinalFeatures:
        asked.append(len(rows))
        return FinalFeatures(rows, {"pool:stage1": np.ones((len(rows), 3), np.float32)})

    monkeypatch.setattr("pocketvision.explain.kept_features.final_features", features)
    monkeypatch.setattr("pocketvision.explain.kept_features.is_as_shipped", lambda *_: False)
    inputs = SimpleNamespace(images=SimpleNamespace(samples=SimpleNamespace(windows=None)))
    network = SimpleNamespace(heads={"detection": object()}, feature=lambda _: SimpleNamespace(cut=1))
    ended = SimpleNamespace(fed=(None, inputs), interrupted=False, network=network)
    data = SimpleNamespace(
        indices=lambda _: np.arange(9),
        samples=SimpleNamespace(file=lambda _: tmp_path),
        learned={"detection": object()},
    )
    log = SimpleNamespace(note=pytest.fail)
    assert keep_features(RunFolder(tmp_path), bundle, ended, data, log) is bundle  # type: ignore[arg-type]
    assert asked == [1]
