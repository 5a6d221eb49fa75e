"""A phase in closed form: heads of one and of several stages, what is chosen, resumption, a gradient phase that begins there."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.models.features import grid_features
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.tags.truth import TagLabels
from pocketvision.tasks.truth import Truth
from pocketvision.training.classification.learner import ClassLearner
from pocketvision.training.engine import State
from pocketvision.training.inputs import CachedInputs, ImageViews, Inputs, PlainInputs
from pocketvision.training.learned_tasks import head_specs, objective_of
from pocketvision.training.phases import Entries, TrainedPhases, train_phases
from pocketvision.training.settings import PhaseSettings
from pocketvision.training.solving import solve_heads
from pocketvision.training.tags.learner import TagLearner
from pocketvision.training.trunk_cache import TrunkCache
from pocketvision.training.trunk_runtime import compile_trunk, trunk_layouts

CUT = 1

SOLVED = PhaseSettings(1, 1, 1e-2, solver="ridge", views=3)
AFTER = PhaseSettings(2, 3, 1e-3, unfreeze=2, batch=8)


def cached(network: Network, images: ImageViews, folder: Path) -> CachedInputs:
    names, size = network.features_read, {"height": 32, "width": 32}
    trunk, tail = (
        TrunkCache(folder, fingerprint="tiny", layouts=each) for each in trunk_layouts(network, CUT, names, **size)
    )
    return CachedInputs(
        images, trunk, tail, compile_trunk(network, CUT, names, **size, folder=folder / "trunk", threads=1), views=3
    )


def run(
    network: Network,
    inputs: Inputs,
    images: ImageViews,
    phases: Sequence[PhaseSettings],
    checkpoints: Path | None = None,
    interrupt: tuple[int, int] | None = None,
    truth: Mapping[str, Truth] | None = None,
) -> TrainedPhases:
    """Of 36 images, validated on 12."""

    def on_epoch(state: State) -> None:
        if interrupt == (state.history[-1].stage, state.history[-1].epoch):
            raise KeyboardInterrupt

    learned, validation = (
        Entries(np.arange(*each), np.zeros(each[1] - each[0], np.int64)) for each in ((0, 36), (36, 48))
    )
    return train_phases(
        network,
        dict.fromkeys((CUT, 3), inputs),
        entries=learned,
        validation=validation,
        phases=phases,
        objective=objective_of(images.samples.truth if truth is None else truth),
        seed=5,
        name_of=str,
        checkpoints=checkpoints,
        on_epoch=on_epoch,
    )


@pytest.fixture
def network(network: Network) -> Network:
    """With a head of three levels in place of the linear one."""
    torch.manual_seed(1)
    classes = network.num_classes
    network.set_heads({"classification": HeadSpec("multiscale_linear", classes, 0.0)})
    return network.eval()


def test_it_answers_at_once_and_a_gradient_phase_begins_there(
    network: Network, images: ImageViews, tmp_path: Path
) -> None:
    backbone = {key: value.clone() for key, value in network.state_dict().items() if not key.startswith("heads.")}
    inputs = cached(network, images, tmp_path)
    alone = run(network, inputs, images, [SOLVED])
    (record,) = alone.history
    assert record.val_accuracy > 0.9
    assert (record.stage, record.epoch, record.lr) == (1, 1, 0.0)
    assert 0 < record.train_loss < 0.5 and record.val_loss < 0.7
    kept = {key: value for key, value in network.state_dict().items() if not key.startswith("heads.")}
    assert all(torch.equal(value, kept[key]) for key, value in backbone.items())
    both = run(network, inputs, images, [replace(SOLVED, views=2), AFTER])
    assert [each.stage for each in both.history] == [1, 2, 2, 2]
    assert both.history[1].train_accuracy > 0.9  # where gradients begin at random it is 0.6 there
    assert both.best is not None and both.best.val_loss <= record.val_loss * 1.5


def test_a_head_of_grids_reads_them_all(network: Network, images: ImageViews, tmp_path: Path) -> None:
    network.set_heads({"classification": HeadSpec("grid_linear", network.num_classes, 0.0)})
    ended = run(network, cached(network, images, tmp_path), images, [replace(SOLVED, views=2)])
    assert network.features_read == grid_features(network.architecture)
    assert ended.history[0].val_accuracy > 0.9


def test_the_chosen_features_are_kept_and_an_interrupted_run_ends_bit_equal(
    network: Network, images: ImageViews, tmp_path: Path
) -> None:
    twin, other = copy.deepcopy(network), copy.deepcopy(network)
    phases = [SOLVED, AFTER]
    unbroken = run(twin, cached(twin, images, tmp_path / "a"), images, phases)
    checkpoints = tmp_path / "run"
    first = run(other, cached(other, images, tmp_path / "a"), images, phases, checkpoints, interrupt=(2, 1))
    assert first.interrupted
    resumed = run(network, cached(network, images, tmp_path / "a"), images, phases, checkpoints)
    features = unbroken.states[1].features["classification"]
    assert network.head_specs["classification"].features == twin.head_specs["classification"].features == features
    assert resumed.states[1].features == unbroken.states[1].features
    for one, same in zip(network.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(one, same)
    strip = [replace(each, seconds=0, images_per_second=0, waiting=0, peak_memory=0) for each in resumed.history]
    assert strip == [
        replace(each, seconds=0, images_per_second=0, waiting=0, peak_memory=0) for each in unbroken.history
    ]


def test_heads_say_on_features_what_the_regression_says(network: Network, images: ImageViews) -> None:
    objective = objective_of(images.samples.truth)
    inputs = PlainInputs(images, network, 0)
    chosen = list(range(36))
    rows = [(sample, view) for view in range(2) for sample in chosen]
    solved = solve_heads(network, inputs, rows, objective)
    assert solved.figure > 0.8
    (features,) = inputs.batches(list(network.features_read), [[(sample, 0) for sample in chosen]])
    logits = network.on_features(features)["classification"]["logits"].detach()
    labels = torch.from_numpy(images.samples.labels[:36].astype(np.int64))
    assert float((logits.argmax(1) == labels).float().mean()) >= solved.figure
    assert 1 < float(logits.max(1).values.mean() - logits.min(1).values.mean()) < 60  # logits, no shares of one


def test_the_linear_head_is_solved_too_without_a_cache(images: ImageViews, network: Network) -> None:
    network.set_heads({"classification": HeadSpec("linear", network.num_classes, 0.0)})
    result = run(network, PlainInputs(images, network, 1), images, [SOLVED])
    assert result.best is not None and result.best.val_accuracy > 0.7
    assert network.head_specs["classification"].features == ()


@pytest.mark.parametrize("kind", ["tags", "number"])
def test_tags_and_numbers_are_solved_too_and_learn_on(network: Network, images: ImageViews, kind: str) -> None:
    labels = images.samples.labels  # red, green, blue
    tags = TagLabels.of([[0] if label == 0 else [1] if label == 2 else [0, 1] for label in labels], ("warm", "cold"))
    truth: dict[str, Truth] = {kind: tags if kind == "tags" else NumberLabels(10.0 + 3 * labels, "hue")}
    network.set_heads(head_specs(truth, 0.0, solved=True))
    assert network.head_specs[kind].head == f"multiscale_{kind}"
    found = run(network, PlainInputs(images, network, 1), images, [replace(SOLVED, views=2), AFTER], truth=truth)
    solved, *learned = found.history
    assert solved.val_accuracy > 0.8 and solved.train_accuracy > 0.8
    assert len(learned) == 3 and found.best is not None and found.best.val_loss <= solved.val_loss * 1.5
    assert learned[0].train_loss < 1.0  # it began with the solution: at random it is above


def test_weights_of_tags_count_rows_by_their_mean_and_scales_are_each_tags_own() -> None:
    rng = np.random.default_rng(0)
    marks = rng.random((200, 2)) < (0.5, 0.1)
    learner = TagLearner(("often", "rare"), weights=torch.tensor([1.0, 9.0]))
    regression = learner.regression(torch.from_numpy(marks.astype(np.float32)), 2)
    assert regression.row_weights is not None
    np.testing.assert_allclose(regression.row_weights, 1 + 4 * marks[:, 1])
    assert TagLearner(("often", "rare")).regression(torch.ones(3, 2), 2).row_weights is None
    said = (marks * (0.8, 0.2) + 0.1 * rng.standard_normal((200, 2))).astype(np.float32)
    judged = regression.judge(said, np.arange(200))
    shares = torch.sigmoid(torch.from_numpy(said * judged.scales + judged.offsets)).numpy()
    # Each tag's probabilities are as often right as they say, though the second one's predictions were a fourth as large.
    np.testing.assert_allclose(shares.mean(axis=0), marks.mean(axis=0), atol=0.03)
    assert shares[marks[:, 1], 1].mean() > 2 * shares[~marks[:, 1], 1].mean()


def test_class_weights_count_rows_and_the_scale_calibrates() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [40, 20, 4])
    regression = ClassLearner(torch.tensor([0.5, 1.0, 5.0])).regression(torch.from_numpy(labels), 3)
    assert regression.row_weights is not None
    np.testing.assert_allclose(regression.row_weights, np.array([0.5, 1.0, 5.0])[labels])
    np.testing.assert_array_equal(regression.targets.argmax(1), labels)
    assert ClassLearner().regression(torch.from_numpy(labels), 3).row_weights is None
    said = (0.6 * np.eye(3)[labels] + 0.3 * rng.standard_normal((64, 3))).astype(np.float32)
    judged = regression.judge(said, np.arange(64))
    scaled = regression.judge(said * 3, np.arange(64))
    assert judged.loss == pytest.approx(scaled.loss, rel=0.02)  # the scale takes up what predictions are short of
    assert judged.scales == pytest.approx(3 * scaled.scales, rel=0.1)
    assert judged.figure == float((said.argmax(1) == labels).mean())
    logits = torch.from_numpy(said * judged.scales + judged.offsets)
    assert torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).item() == pytest.approx(judged.loss)


def test_which_head_learns(images: ImageViews) -> None:
    truth = images.samples.truth
    assert head_specs(truth)["classification"].head == "linear"
    assert head_specs(truth, solved=True)["classification"].head == "multiscale_linear"
    assert head_specs(truth, head="linear", solved=True)["classification"].head == "linear"
    assert head_specs(truth, head="multiscale_linear")["classification"].head == "multiscale_linear"
    with pytest.raises(UsageError, match="multiscale_linear"):
        head_specs(truth, head="multiscale_liner")
    with pytest.raises(
        UsageError, match=r"multiscale_linear is for classification.*: linear_number, multiscale_number"
    ):
        head_specs({"number": NumberLabels(np.ones(2))}, head="multiscale_linear")


def test_what_has_no_closed_form_is_said(network: Network, images: ImageViews) -> None:
    class Unsolvable:
        def targets(self, truth: object, rows: np.ndarray, placements: object) -> int:
            del truth, placements
            return len(rows)

    objective = objective_of(images.samples.truth)
    other = replace(objective, learners={"classification": Unsolvable()})
    with pytest.raises(UsageError, match="no closed form for classification"):
        solve_heads(network, PlainInputs(images, network, 0), [(sample, 0) for sample in range(8)], other)
