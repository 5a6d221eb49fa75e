"""Two-stage training on a tiny real job: determinism, frozen parts, resumption, both ways of feeding, not-a-number."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.errors import TrainingError, UsageError
from pocketvision.models.catalog import build
from pocketvision.models.network import Network
from pocketvision.progress import EpochRecord, StepProgress
from pocketvision.training.engine import Replan, State, as_planned
from pocketvision.training.inputs import CachedInputs, ImageViews, Inputs, PlainInputs
from pocketvision.training.learned_tasks import objective_of
from pocketvision.training.phase_models import WHOLE, cut_for, cuts_of
from pocketvision.training.phases import Entries, TrainedPhases, _chunks, train_phases, view_number
from pocketvision.training.settings import (
    CheckpointSettings,
    OptimizerSettings,
    PhaseSettings,
    RegularisationSettings,
    ScheduleSettings,
)
from pocketvision.training.trunk_cache import TrunkCache
from pocketvision.training.trunk_runtime import compile_trunk, trunk_layouts

CUT = 1
PHASES = [PhaseSettings(1, 4, 1e-2, batch=8), PhaseSettings(2, 5, 2e-3, unfreeze=2, batch=8)]


def entries(start: int, stop: int) -> Entries:
    indices = np.arange(start, stop)
    return Entries(indices, np.zeros(len(indices), np.int64))


def cached(network: Network, images: ImageViews, folder: Path, views: int = 3) -> CachedInputs:
    names = network.features_read
    trunk, tail = (
        TrunkCache(folder, fingerprint="tiny", layouts=layouts)
        for layouts in trunk_layouts(network, CUT, names, height=32, width=32)
    )
    runtime = compile_trunk(network, CUT, names, height=32, width=32, folder=folder / "trunk", threads=1)
    return CachedInputs(images, trunk, tail, runtime, views=views)


@pytest.fixture(scope="module")
def trunk_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def new_cache(network: Network, trunk_folder: Path, tmp_path: Path) -> Path:
    """A cache of the test's own that holds nothing but the compiled trunk."""
    compile_trunk(network, CUT, ["pooled"], height=32, width=32, folder=trunk_folder / "trunk", threads=1)
    shutil.copytree(trunk_folder / "trunk", tmp_path / "trunk")
    return tmp_path


def run(
    network: Network,
    inputs: Inputs,
    images: ImageViews,
    checkpoints: Path | None = None,
    phases: list[PhaseSettings] = PHASES,
    interrupt: tuple[int, int] | None = None,
    stop: tuple[int, int, int] | None = None,
    precision: torch.dtype = torch.float32,
    cut: int | None = CUT,
    replan: Replan = as_planned,
    others: dict[int, Network] | None = None,
) -> TrainedPhases:
    def on_epoch(state: State) -> None:
        if interrupt == (state.history[-1].stage, state.history[-1].epoch):
            raise KeyboardInterrupt

    def on_step(progress: StepProgress) -> None:
        if stop == (progress.stage, progress.epoch, progress.step):
            raise KeyboardInterrupt

    return train_phases(
        network,
        dict.fromkeys((WHOLE, CUT, 3), inputs),
        entries=entries(0, 36),
        validation=entries(36, 48),
        phases=phases,
        from_scratch=cut is None,
        others=others,
        objective=objective_of(images.samples.truth),
        seed=5,
        precision=precision,
        name_of=lambda index: images.samples.paths[index],
        checkpoints=checkpoints,
        on_epoch=on_epoch,
        on_step=on_step,
        replan=replan,
    )


def same_weights(one: Network, other: Network) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def copy_of(network: Network) -> Network:
    import copy

    return copy.deepcopy(network)


def test_it_learns_and_two_runs_are_bit_equal(network: Network, images: ImageViews, trunk_folder: Path) -> None:
    twin = copy_of(network)
    result = run(network, cached(network, images, trunk_folder), images)
    assert result.best is not None
    assert result.best.val_accuracy > 0.9
    assert [record.stage for record in result.history] == [1] * 4 + [2] * 5
    run(twin, cached(twin, images, trunk_folder), images)
    assert same_weights(network, twin)


def test_frozen_layers_and_all_norm_statistics_stay_bit_equal(
    network: Network, images: ImageViews, trunk_folder: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    run(network, cached(network, images, trunk_folder), images)
    learned = set()
    for name, tensor in network.state_dict().items():
        if not torch.equal(before[name], tensor):
            learned.add(name.split(".")[0] + ("." + name.split(".")[1] if name.startswith("stages") else ""))
            assert "running" not in name
            assert "num_batches" not in name
    assert learned == {"stages.1", "stages.2", "head", "heads"}


@pytest.mark.parametrize("interrupt", [(1, 1), (1, 4), (2, 3)])
def test_an_interrupted_run_is_usable_and_ends_bit_equal_when_resumed(
    network: Network, images: ImageViews, trunk_folder: Path, checkpoints: Path, interrupt: tuple[int, int]
) -> None:
    unbroken, broken, resumed = network, copy_of(network), copy_of(network)
    whole = run(unbroken, cached(unbroken, images, trunk_folder), images)
    first = run(broken, cached(broken, images, trunk_folder), images, checkpoints, interrupt=interrupt)
    assert first.interrupted
    assert first.best is not None
    assert not same_weights(broken, resumed)  # it learned something before the interruption
    second = run(resumed, cached(resumed, images, trunk_folder), images, checkpoints)
    assert not second.interrupted
    assert same_weights(unbroken, resumed)
    timeless = [
        [replace(record, seconds=0, images_per_second=0, waiting=0, peak_memory=0) for record in each.history]
        for each in (whole, second)
    ]
    assert timeless[0] == timeless[1]


def test_more_epochs_can_be_asked_of_a_finished_run(
    network: Network, images: ImageViews, trunk_folder: Path, checkpoints: Path
) -> None:
    phases = [replace(each, schedule=ScheduleSettings("plateau")) for each in PHASES]  # others have an end of their own
    longer = [phases[0], replace(phases[1], epochs=7)]
    twin = copy_of(network)
    run(network, cached(network, images, trunk_folder), images, checkpoints, phases)
    extended = run(network, cached(twin, images, trunk_folder), images, checkpoints, phases=longer)
    whole = run(twin, cached(twin, images, trunk_folder), images, phases=longer)
    assert len(extended.history) == len(whole.history) == 11
    assert same_weights(network, twin)


def test_a_phase_planned_anew_runs_its_schedule_to_the_end_and_repeats_by_what_is_recorded(
    network: Network, images: ImageViews, trunk_folder: Path, checkpoints: Path
) -> None:
    asked: list[tuple[int, int]] = []

    def replan(settings: PhaseSettings, history: Sequence[EpochRecord]) -> int:
        asked.append((settings.number, len(history)))
        return 3 if settings.number == 2 and len(history) >= 2 else settings.epochs

    phases = [replace(each, schedule=ScheduleSettings("cosine"), patience=9) for each in PHASES]
    recorded = [phases[0], replace(phases[1], epochs=3, replanned=(2.0, 5.0))]
    shortened, again, resumed = (copy_of(network) for _ in range(3))
    history = run(shortened, cached(shortened, images, trunk_folder), images, phases=phases, replan=replan).history
    assert asked == [*((1, done) for done in range(5)), *((2, done) for done in range(4))]
    rates = [record.lr for record in history if record.stage == 2]
    assert len(rates) == 3 and rates == sorted(rates, reverse=True) and rates[-1] < 0.1 * phases[1].lr
    assert run(again, cached(again, images, trunk_folder), images, phases=recorded).history[-1].lr == rates[-1]
    assert same_weights(shortened, again)
    run(resumed, cached(resumed, images, trunk_folder), images, checkpoints, phases, interrupt=(2, 2), replan=replan)
    run(resumed, cached(resumed, images, trunk_folder), images, checkpoints, recorded)
    assert same_weights(shortened, resumed)


def test_a_phase_that_is_given_no_epoch_is_left_out(network: Network, images: ImageViews, trunk_folder: Path) -> None:
    trained = run(
        network,
        cached(network, images, trunk_folder),
        images,
        replan=lambda settings, _: 0 if settings.number == 2 else settings.epochs,
    )
    assert [*trained.states] == [1] and trained.best is not None


def test_the_plain_way_agrees_with_the_cached_way(network: Network, images: ImageViews, trunk_folder: Path) -> None:
    """With one clean view and without the half-precision rounding both ways compute the same; with it, nearly so."""
    clean = replace(images, augmentation="none")
    twin = copy_of(network)
    by_cache = run(network, cached(network, clean, trunk_folder, views=1), clean)
    plainly = run(twin, PlainInputs(clean, twin, CUT), clean)
    assert by_cache.best is not None and plainly.best is not None
    assert abs(by_cache.best.val_accuracy - plainly.best.val_accuracy) <= 1 / 12
    for one, other in zip(by_cache.history, plainly.history, strict=True):
        assert one.val_loss == pytest.approx(other.val_loss, rel=0.05, abs=0.01)


def test_cached_activations_are_those_of_the_network(network: Network, images: ImageViews, trunk_folder: Path) -> None:
    inputs = cached(network, images, trunk_folder)
    rows = [(0, 0), (5, 1), (35, 1)]
    pixels = torch.from_numpy(np.concatenate([images.load([row]) for row in rows]))
    with torch.no_grad():
        cut = network.trunk(pixels, CUT)
        pooled = network.tail(cut, CUT)
    torch.testing.assert_close(next(inputs.batches(["cut"], [rows]))["cut"], cut, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(next(inputs.batches(["pooled"], [rows]))["pooled"], pooled, rtol=1e-4, atol=1e-4)


def test_not_a_number_stops_and_names_the_files_of_the_batch(
    network: Network, images: ImageViews, trunk_folder: Path
) -> None:
    explosive = [replace(PHASES[0], lr=1e38, batch=4)]
    with pytest.raises(
        TrainingError, match=r"not a number \(phase 1, epoch \d+, batch \d+\).*: \d+\.png, \d+\.png, \d+\.png, \d+\.png"
    ):
        run(network, cached(network, images, trunk_folder), images, phases=explosive)


def test_early_stopping_restores_the_best_epoch(network: Network, images: ImageViews, trunk_folder: Path) -> None:
    impatient = [replace(PHASES[0], epochs=50, patience=2, lr=0.3)]
    result = run(network, cached(network, images, trunk_folder), images, phases=impatient)
    assert len(result.history) < 50
    losses = [record.val_loss for record in result.history]
    assert result.best is not None and result.best.val_loss == min(losses)
    assert losses.index(min(losses)) == len(losses) - 3


def test_a_view_is_computed_once(network: Network, images: ImageViews, new_cache: Path) -> None:
    inputs = cached(network, images, new_cache)
    rows = [(sample, view) for sample in range(40) for view in range(3)]
    assert inputs.fill(["cut"], rows) == 120
    assert inputs.fill(["cut"], rows) == 0
    assert inputs.fill(["pooled"], rows[:5]) == 5  # the tail's part is not there yet
    assert cached(network, images, new_cache).fill(["cut"], rows) == 0  # another run finds them on disk


def test_doubled_images_share_their_rows(network: Network, images: ImageViews, new_cache: Path) -> None:
    hashes = images.content_hashes.copy()
    hashes[1] = hashes[0]
    inputs = cached(network, replace(images, content_hashes=hashes), new_cache)
    for feature in ("cut", "pooled"):
        one, other = next(inputs.batches([feature], [[(0, 1), (1, 1)]]))[feature]
        assert torch.equal(one, other)


@pytest.mark.slow
def test_a_damaged_trunk_file_is_compiled_anew(network: Network, images: ImageViews, new_cache: Path) -> None:
    folder = new_cache / "trunk"
    runtime = compile_trunk(network, CUT, ["pooled"], height=32, width=32, folder=folder, threads=1)
    before = runtime.trunk(images.load([(0, 0)]))["cut"]
    (folder / "trunk.onnx").write_bytes(b"damaged")
    again = compile_trunk(network, CUT, ["pooled"], height=32, width=32, folder=folder, threads=1)
    assert (again.trunk(images.load([(0, 0)]))["cut"] == before).all()


def test_views_walk_round_and_replicas_have_their_own() -> None:
    assert [view_number(0, epoch, 3) for epoch in (1, 2, 3, 4)] == [0, 1, 2, 0]
    assert {view_number(2, epoch, 3) for epoch in range(1, 9)} == {6, 7, 8}
    assert view_number(0, 7, None) == 7
    assert 0 not in {view_number(replica, epoch, None) for replica in range(3) for epoch in range(1, 40)}


def test_unfreeze_beyond_the_stages_is_refused(network: Network) -> None:
    assert cut_for(network, 3) == 0 and cut_for(network, 4) == WHOLE
    with pytest.raises(UsageError, match="tiny has 3 stages"):
        cut_for(network, 5)


def test_phases_go_deeper_each_from_its_cut(network: Network, images: ImageViews, trunk_folder: Path) -> None:
    """Gradual unfreezing, to the stem; whatever is frozen stays bit-equal, and norms keep their statistics."""
    phases = [
        PhaseSettings(number, 1, 2e-3, unfreeze, batch=8) for number, unfreeze in ((1, 0), (2, 1), (3, 2), (5, 4))
    ]
    assert cuts_of(network, phases, from_scratch=False) == [2, 2, 1, WHOLE]
    assert cuts_of(network, phases[:1], from_scratch=False) == [3]
    assert cuts_of(network, phases[:2], from_scratch=True) == [WHOLE] * 2
    mosaics = [replace(phase, regularisation=RegularisationSettings(mosaic=0.5)) for phase in phases]
    assert cuts_of(network, mosaics, from_scratch=False)[-1] == WHOLE
    with pytest.raises(UsageError, match=r"phases\.3\.unfreeze=4.*regularisation\.mosaic to 0"):
        cuts_of(network, mosaics[:3], from_scratch=False)
    seen: dict[int, dict[str, torch.Tensor]] = {}
    inputs = PlainInputs(images, network, 2), cached(network, images, trunk_folder), PlainInputs(images, network, 0)
    train_phases(
        network,
        dict(zip((2, CUT, WHOLE), inputs, strict=True)),
        entries=entries(0, 36),
        validation=entries(36, 48),
        phases=phases,
        objective=objective_of(images.samples.truth),
        seed=5,
        name_of=str,
        checkpoints=None,
        on_epoch=lambda state: seen.update({state.history[-1].stage: dict(state.weights)}),
    )
    parts = {number: {name.split(".")[1] + name.split(".")[2] for name in weights} for number, weights in seen.items()}
    assert parts[1] == {"headsclassification"}
    assert {"stages2"} <= parts[2] and not {"stages1", "stemconv"} & parts[2]
    assert {"stages1", "stages2"} <= parts[3] and "stages0" not in parts[3]
    assert {"stemconv", "stages0", "stages1"} <= parts[5]
    assert not any("running" in name for weights in seen.values() for name in weights)
    shallower = [phases[2], phases[1]]
    with pytest.raises(UsageError, match=r"phases\.2\.unfreeze is 1, less than the 2 of phase 3"):
        cuts_of(network, shallower, from_scratch=False)


def test_mixing_and_other_optimizers_repeat_when_resumed(
    network: Network, images: ImageViews, trunk_folder: Path, checkpoints: Path
) -> None:
    """All that a step draws is a function of seed, phase, epoch and step."""
    own = {
        "optimizer": OptimizerSettings("rmsprop", clip=1.0, layer_decay=0.7, accumulate=2, sam=0.05),
        "schedule": ScheduleSettings("cosine", warmup=0.2),
        "regularisation": RegularisationSettings(mixup=0.4, cutmix=1.0, ema=0.9),
    }
    phases = [replace(phase, epochs=2, lr=1e-3, **own) for phase in PHASES]
    twin, resumed = copy_of(network), copy_of(network)
    run(network, cached(network, images, trunk_folder), images, phases=phases)
    run(twin, cached(twin, images, trunk_folder), images, checkpoints, phases=phases, interrupt=(2, 1))
    assert not same_weights(network, twin)
    run(resumed, cached(resumed, images, trunk_folder), images, checkpoints, phases=phases)
    assert same_weights(network, resumed)


def test_bfloat16_learns_what_float32_learns_and_is_deterministic(
    network: Network, images: ImageViews, trunk_folder: Path
) -> None:
    twins = [copy_of(network), copy_of(network), copy_of(network)]
    precisions = (torch.float32, torch.bfloat16, torch.bfloat16)
    results = [
        run(twin, cached(twin, images, trunk_folder), images, precision=precision)
        for twin, precision in zip(twins, precisions, strict=True)
    ]
    assert same_weights(twins[1], twins[2])
    assert not same_weights(twins[0], twins[1])
    assert all(tensor.dtype == torch.float32 for tensor in twins[1].state_dict().values() if tensor.is_floating_point())
    one, other = (result.history for result in results[:2])
    for exact, short in zip(one, other, strict=True):
        assert short.train_loss == pytest.approx(exact.train_loss, rel=0.05, abs=0.02)
        assert short.val_loss == pytest.approx(exact.val_loss, rel=0.1, abs=0.05)


def test_without_weights_everything_learns_in_both_stages_and_repeats_when_resumed(
    network: Network, images: ImageViews, tmp_path: Path
) -> None:
    phases = [replace(phase, epochs=2) for phase in PHASES]
    whole = copy_of(network)
    plain = PlainInputs(images, whole, 0)
    trained = run(whole, plain, images, phases=phases, cut=None)
    before, after = network.state_dict(), whole.state_dict()
    still = [name for name in before if "num_batches" not in name and torch.equal(before[name], after[name])]
    assert still == []  # the stem, and the norms' statistics too
    assert len(trained.history) == 4
    broken = copy_of(network)
    run(broken, PlainInputs(images, broken, 0), images, tmp_path, phases, interrupt=(1, 1), cut=None)
    resumed = copy_of(network)
    run(resumed, PlainInputs(images, resumed, 0), images, tmp_path, phases, cut=None)
    left, right = (each.state_dict() for each in (whole, resumed))
    assert all(torch.equal(left[name], right[name]) for name in left if "num_batches" not in name)


def test_a_single_row_at_the_end_is_no_batch_where_statistics_learn() -> None:
    assert [(rows.start, rows.stop) for rows in _chunks(9, 4, True)] == [(0, 4), (4, 9)]
    assert [(rows.start, rows.stop) for rows in _chunks(9, 4, False)] == [(0, 4), (4, 8), (8, 9)]
    assert [(rows.start, rows.stop) for rows in _chunks(1, 4, True)] == [(0, 1)]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_another_model_learns_from_a_random_start_and_the_better_one_is_kept(
    network: Network, images: ImageViews, precision: torch.dtype
) -> None:
    torch.manual_seed(1)
    other, before = build(network.architecture, num_classes=3), copy_of(network)
    phases = [PhaseSettings(1, 1, 1e-9, batch=8), PhaseSettings(2, 6, 1e-2, model="tiny", batch=8)]
    assert cuts_of(network, phases, from_scratch=False) == [3, WHOLE]
    start = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    won = run(network, PlainInputs(images, network, 3), images, phases=phases, others={2: other}, precision=precision)
    assert won.best is not None and won.best.stage == 2 and won.network is other and won.networks[1] is network
    own = won.states[2].best_weights
    assert all(torch.equal(each, own[f"network.{name}"]) for name, each in other.named_parameters())
    changed = {name for name, tensor in other.state_dict().items() if not torch.equal(start[name], tensor)}
    assert {"stem.0.conv.weight", "stages.0.0.depthwise.norm.running_mean"} & changed and not any(
        each.requires_grad for each in other.parameters()
    )
    assert all(torch.equal(a, b) for a, b in zip(before.stages.parameters(), network.stages.parameters(), strict=True))


def test_a_model_that_learns_nothing_is_not_kept(network: Network, images: ImageViews) -> None:
    torch.manual_seed(1)
    other, inputs = build(network.architecture, num_classes=3), PlainInputs(images, network, 3)
    phases = [PhaseSettings(1, 3, 1e-2, batch=8), PhaseSettings(2, 1, 1e-9, model="tiny", batch=8)]
    kept = run(network, inputs, images, phases=phases, others={2: other})
    assert kept.best is not None and kept.best.stage == 1 and kept.network is network


@pytest.mark.parametrize(
    "fed", ["cached", pytest.param("plain", marks=pytest.mark.slow), pytest.param("scratch", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("stop", [(1, 1, 2), (2, 2, 4)])
def test_a_run_that_was_stopped_within_an_epoch_ends_bit_equal(
    network: Network, images: ImageViews, trunk_folder: Path, checkpoints: Path, fed: str, stop: tuple[int, int, int]
) -> None:
    """Fed from the cache, without it, and from a random start, with statistics that learn."""
    kept = CheckpointSettings(seconds=0)
    phases = [replace(PHASES[0], epochs=1, checkpoints=kept), replace(PHASES[1], epochs=2, checkpoints=kept)]

    def trained(own: Network, folder: Path | None, stop: tuple[int, int, int] | None) -> TrainedPhases:
        inputs = cached(own, images, trunk_folder) if fed == "cached" else PlainInputs(images, own, CUT)
        cut = None if fed == "scratch" else CUT
        return run(own, inputs, images, folder, phases=phases, stop=stop, cut=cut)

    broken, resumed = copy_of(network), copy_of(network)
    whole = trained(network, None, None)
    assert trained(broken, checkpoints, stop).interrupted
    found = trained(resumed, checkpoints, None)
    pairs = zip(network.state_dict().items(), resumed.state_dict().values(), strict=True)
    different = [name for (name, one), other in pairs if not torch.equal(one, other)]
    assert [name for name in different if "num_batches" not in name] == []  # no answer depends on those
    columns = ("stage", "epoch", "train_loss", "train_accuracy", "val_loss", "lr")
    assert [[getattr(each, name) for name in columns] for each in found.history] == [
        [getattr(each, name) for name in columns] for each in whole.history
    ]
