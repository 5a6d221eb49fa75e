"""prune: a smaller bundle that was tuned again, judged against the one it was made from."""

import copy
import json
from pathlib import Path

import pytest
import torch

from pocketvision.bundle import Bundle, read_bundle
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.compression.prune_weights import prune_weights, sparsity
from pocketvision.errors import AgreementError, TrainingError, UsageError
from pocketvision.models.catalog import build
from pocketvision.models.cost import cost
from pocketvision.models.rebuild import rebuilt
from pocketvision.progress import Note, StepProgress
from pocketvision.runtime.verify import verify_bundle
from pocketvision.training.image_batches import image_batches
from pocketvision.training.tuning import TuneSettings, learning_classes, of_classes, tune
from pocketvision.workflows.evaluate import evaluate
from pocketvision.workflows.load import load
from pocketvision.workflows.prune import prune
from pocketvision.workflows.train import TrainResult


@pytest.fixture(scope="module")
def bundle(trained: TrainResult) -> Bundle:
    return trained.bundle


def test_a_pruned_bundle_is_smaller_and_stands_for_itself(bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    settings = PruneSettings(keep_macs=0.7, rounds=2, epochs=0.5, max_accuracy_drop=100, batch=8)
    found = prune(
        bundle.folder,
        settings,
        out=tmp_path / "small",
        on_event=lambda event: notes.append(event.text) if isinstance(event, Note) else None,
    )
    assert found.after.macs <= 0.7 * found.before.macs and found.after.parameters < found.before.parameters
    assert [text for text in notes if text.startswith("Pruning")] == [
        "Pruning to 84% of the multiply-accumulates",
        "Pruning to 70% of the multiply-accumulates",
    ]
    assert any(text.startswith("Tuning") for text in notes)
    small = read_bundle(tmp_path / "small")
    network = rebuilt(small)
    assert cost(network.architecture, size=64, num_classes=2) == found.after
    assert small.path("model.onnx").stat().st_size < 0.95 * bundle.path("model.onnx").stat().st_size
    assert verify_bundle(small).max_probability_difference < 1e-3
    picture = next(photos.glob("*/*.png"))
    assert load(small.folder)(picture).label in bundle.labels
    record = small.manifest.compression["pruning"]
    assert record["settings"]["keep_macs"] == 0.7 and record["after"]["macs"] == found.after.macs
    assert record["nonzero"] == sparsity(network).nonzero
    assert small.manifest.agreement["model.onnx"]["accuracy"] == found.comparison.accuracy
    # Its own answers about the validation images, which are as bright as they were.
    assert small.manifest.baseline == evaluate(small.folder, bundle.folder.parent / "split.csv", split="val").baseline(
        "val"
    )
    assert small.manifest.baseline["confidence"] != bundle.manifest.baseline["confidence"]
    assert small.manifest.baseline["brightness"] == bundle.manifest.baseline["brightness"]


@pytest.mark.slow
def test_unstructured_zeros_stay_zero_while_the_rest_is_tuned(bundle: Bundle, tmp_path: Path) -> None:
    settings = PruneSettings(unstructured=0.5, epochs=0.5, max_accuracy_drop=100, batch=8)
    found = prune(bundle.folder, settings, out=tmp_path / "sparse")
    network, before = rebuilt(found.bundle), rebuilt(bundle)
    assert found.nonzero == sparsity(network).nonzero == pytest.approx(0.5 * found.weights, abs=1)
    assert found.before == found.after, "no channel is gone, and the costs say so"
    kept = network.stem.conv.weight != 0
    assert not torch.equal(network.stem.conv.weight[kept], before.stem.conv.weight[kept]), "what is left was tuned"


@pytest.mark.slow
def test_a_latency_is_reached_a_tenth_of_the_cost_at_a_time(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([9.0, 7.0, 5.0])
    monkeypatch.setattr("pocketvision.compression.pruning.Pruner._latency", lambda *_: next(clock))
    settings = PruneSettings(latency_ms=6.0, epochs=0, max_accuracy_drop=100)
    found = prune(bundle.folder, settings, out=tmp_path / "fast")
    assert 0.7 * found.before.macs < found.after.macs <= 0.81 * found.before.macs
    assert next(clock, None) is None


def test_the_smallest_weights_of_all_layers_become_zero() -> None:
    torch.manual_seed(0)
    network = build("small_cnn", num_classes=3)
    sparse = prune_weights(network, 0.3)
    assert sparsity(network).nonzero == sparsity(network).weights
    pairs = [(a, b) for a, b in zip(network.parameters(), sparse.parameters(), strict=True) if a.ndim > 1]
    gone = torch.cat([a[b == 0].abs() for a, b in pairs])
    kept = torch.cat([a[b != 0].abs() for a, b in pairs])
    assert gone.max() <= kept.min() and len(gone) == pytest.approx(0.3 * (len(gone) + len(kept)), abs=1)


def test_too_large_a_drop_leaves_figures_and_no_bundle(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocketvision.tasks.classification.comparison.ClassComparison.within", lambda *_: False)
    settings = PruneSettings(keep_parameters=0.9, rounds=1, epochs=0)
    with pytest.raises(AgreementError, match=r"No bundle was written: the accuracy drops by .* Tune it longer"):
        prune(bundle.folder, settings, out=tmp_path / "small")
    assert [path.name for path in tmp_path.iterdir()] == ["small.pruning-failed.json"]
    figures = json.loads(next(tmp_path.iterdir()).read_text())
    # Of the two classes' network, not of one with ImageNet's thousand.
    assert 0 < figures["after"]["parameters"] <= 0.9 * figures["before"]["parameters"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"Give one target, not none: --keep-macs, --keep-parameters, --latency-ms, --unstructured"),
        ({"keep_macs": 0.5, "latency_ms": 3.0}, "not --keep-macs and --latency-ms"),
        ({"keep_macs": 1.5}, "--keep-macs is 1.5; expected a number above 0 and below 1"),
        ({"unstructured": 0.0}, "--unstructured is 0;"),
        ({"keep_macs": 0.5, "importance": "l3"}, r"Unknown importance 'l3'\. Did you mean l1"),
        ({"keep_macs": 0.5, "rounds": 0}, "--rounds is 0; expected a number from 1 to 20"),
        ({"keep_macs": 0.5, "epochs": -1.0}, "--epochs is -1"),
    ],
)
def test_wrong_settings(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PruneSettings(**options)  # type: ignore[arg-type]


def test_a_bundle_is_not_pruned_onto_itself(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="is the bundle itself"):
        prune(bundle.folder, PruneSettings(keep_macs=0.9), out=bundle.folder)


def test_batches_are_full_shuffled_endless_and_the_same_for_the_same_seed(bundle: Bundle, photos: Path) -> None:
    files = sorted(photos.glob("*/*.png"))[:10]
    labels = torch.arange(10)

    def first(count: int, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        batches = image_batches(files, lambda rows, _: labels[rows], bundle.preprocessing, batch=4, seed=seed)
        return [next(batches) for _ in range(count)]

    found = first(5, 1)
    assert all(images.shape == (4, 3, 64, 64) and len(truth) == 4 for images, truth in found)
    order = torch.cat([truth for _, truth in found]).tolist()
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10)) and order[:10] != order[10:]
    again = first(5, 1)
    assert all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(found, again, strict=True))
    assert torch.cat([truth for _, truth in first(5, 2)]).tolist() != order


def test_the_loop_learns_warms_up_and_ends_at_no_rate() -> None:
    torch.manual_seed(0)
    network = build("small_cnn", num_classes=2)
    images = torch.randn(16, 3, 32, 32)
    labels = (images.mean((1, 2, 3)) > 0).long()
    steps: list[StepProgress] = []
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tune(
        network,
        ((images, of_classes(labels)) for _ in range(30)),
        TuneSettings(30, 3e-3),
        objective=learning_classes(),
        on_step=steps.append,
    )
    assert [each.step for each in steps] == list(range(1, 31)) and steps[-1].loss < 0.7 * steps[0].loss
    assert not network.training
    # Statistics of norms too: all of the network is tuned.
    assert not any(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    with pytest.raises(TrainingError, match="ended after 2 of 3 steps"):
        tune(
            network,
            ((images, of_classes(labels)) for _ in range(2)),
            TuneSettings(3, 1e-4),
            objective=learning_classes(),
        )


def test_what_is_done_to_the_weights_after_a_step_stays() -> None:
    """As pruning keeps single weights at zero."""
    network = build("small_cnn", num_classes=2)
    weight = network.heads["classification"].linear.weight

    def kept_at_zero(_: StepProgress) -> None:
        with torch.no_grad():
            weight[:, ::2] = 0

    tune(
        network,
        ((torch.randn(4, 3, 32, 32), of_classes(torch.tensor([0, 1, 0, 1]))) for _ in range(3)),
        TuneSettings(3, 1e-2),
        objective=learning_classes(),
        on_step=kept_at_zero,
    )
    assert (weight[:, ::2] == 0).all() and (weight[:, 1::2] != 0).all()


def test_a_teacher_is_half_of_what_is_learned() -> None:
    """The labels say class 0 and the teacher class 1: with it the network ends between the two, without it at the labels."""
    torch.manual_seed(0)
    start = build("small_cnn", num_classes=2, dropout=0.0)
    images, labels = torch.randn(8, 3, 32, 32), torch.zeros(8, dtype=torch.long)
    teacher = build("small_cnn", num_classes=2).eval()
    with torch.no_grad():
        teacher.heads["classification"].linear.weight.zero_()
        teacher.heads["classification"].linear.bias.copy_(torch.tensor([-3.0, 3.0]))
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    second_class = {}
    for name, taught_by in (("labels", None), ("teacher", teacher)):
        network = copy.deepcopy(start)
        batches = ((images, of_classes(labels)) for _ in range(60))
        settings = TuneSettings(60, 3e-3, weight_decay=0.0)
        tune(network, batches, settings, objective=learning_classes(), teacher=taught_by)
        with torch.no_grad():
            second_class[name] = float(network(images).softmax(1)[:, 1].mean())
    assert second_class["labels"] < 0.1 < 0.3 < second_class["teacher"] < 0.9
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("distill", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_pruning_is_taught_by_the_network_as_it_was(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distill: bool
) -> None:
    teachers: list[torch.nn.Module | None] = []
    monkeypatch.setattr("pocketvision.compression.tuning.tune", lambda *_, teacher, **__: teachers.append(teacher))
    settings = PruneSettings(keep_macs=0.7, rounds=2, epochs=0.5, max_accuracy_drop=100, batch=8, distill=distill)
    prune(bundle.folder, settings, out=tmp_path / "small")
    assert len(teachers) == 2 and all((each is not None) == distill for each in teachers)
    images = torch.from_numpy(bundle.golden()["images"])
    for teacher in filter(None, teachers):
        with torch.no_grad():
            torch.testing.assert_close(
                teacher(images), torch.from_numpy(bundle.golden()["logits"]), rtol=1e-3, atol=1e-3
            )
