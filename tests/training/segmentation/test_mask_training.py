"""Masks learned for real, by a tiny network: heads, the last stages, and another model; broken off and gone on with."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketvision.data.fingerprints import content_hash
from pocketvision.data.samples import Samples
from pocketvision.models.catalog import build
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.models.spec import Architecture, StageRow
from pocketvision.preprocessing import Preprocessing, decode
from pocketvision.tasks.segmentation.truth import NOTHING, MaskLabels
from pocketvision.training.engine import State
from pocketvision.training.inputs import ImageViews, PlainInputs
from pocketvision.training.learned_tasks import objective_of, other_phase
from pocketvision.training.phase_models import cuts_of
from pocketvision.training.phases import Entries, TrainedPhases, train_phases
from pocketvision.training.recipe import Recipe
from pocketvision.training.segmentation.learner import FEW
from pocketvision.training.settings import Phase, PhaseSettings
from pocketvision.training.starting import as_won, compared, others_of, with_others

TINY = Architecture(
    name="tiny",
    family="test",
    stages=(StageRow(3, 1, 1, 8, 1), StageRow(5, 2, 4, 16, 2), StageRow(3, 2, 4, 24, 1)),
    stem_channels=8,
    head_channels=48,
    activation="relu6",
    padding="same",
    norm_epsilon=1e-3,
    input_size=32,
    dropout=0.3,
)
LEARNED, KEPT = 24, 32
PHASES = [
    PhaseSettings(1, 6, 1e-2, batch=8),
    PhaseSettings(2, 2, 1e-3, unfreeze=1, batch=8),
    PhaseSettings(3, 2, 1e-2, model="tiny", batch=8),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageViews:
    """Bright rectangles on a dark ground, with a border of which nobody said anything."""
    root, random = tmp_path_factory.mktemp("rectangles"), np.random.default_rng(0)
    paths, masks = [], []
    for index in range(KEPT):
        mask = np.zeros((40, 48), np.uint8)
        top, left = random.integers(0, 20), random.integers(0, 24)
        mask[top : top + 18, left : left + 22] = 1
        pixels = random.normal(60 + 120 * mask[..., None], 30, (40, 48, 3)).clip(0, 255).astype(np.uint8)
        mask[:2] = NOTHING
        paths.append(f"{index}.png")
        masks.append(mask)
        Image.fromarray(pixels).save(root / paths[-1])
    samples = Samples(root, paths, {"segmentation": MaskLabels.of_arrays(masks, ("ground", "thing"))})
    hashes = np.array([content_hash(decode(root / path)) for path in paths], dtype="V16")
    preprocessing = Preprocessing(32, 32, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), fit="stretch")
    return ImageViews(samples, hashes, preprocessing, "standard", seed=0)


@pytest.fixture(scope="module")
def networks() -> tuple[Network, Network]:
    torch.manual_seed(0)
    found = []
    for _ in range(2):
        network = build(TINY, num_classes=2)
        network.set_heads({"segmentation": HeadSpec("u_net", 2, 0.0)})
        found.append(network.eval())
    return found[0], found[1]


def learn(
    networks: tuple[Network, Network],
    images: ImageViews,
    checkpoints: Path | None = None,
    interrupt: tuple[int, int] | None = None,
) -> TrainedPhases:
    network, other = (copy.deepcopy(each) for each in networks)

    def on_epoch(state: State) -> None:
        if interrupt == (state.history[-1].stage, state.history[-1].epoch):
            raise KeyboardInterrupt

    def entries(start: int, stop: int) -> Entries:
        return Entries(np.arange(start, stop), np.zeros(stop - start, np.int64))

    return train_phases(
        network,
        {cut: PlainInputs(images, network, max(cut, 0)) for cut in cuts_of(network, PHASES, from_scratch=False)},
        entries=entries(0, LEARNED),
        validation=entries(LEARNED, KEPT),
        phases=PHASES,
        objective=objective_of(images.samples.truth),
        seed=3,
        others={3: other},
        name_of=str,
        checkpoints=checkpoints,
        on_epoch=on_epoch,
    )


@pytest.fixture(scope="module")
def unbroken(networks: tuple[Network, Network], images: ImageViews) -> TrainedPhases:
    return learn(networks, images)


def test_masks_are_learned_and_the_epoch_of_the_best_figure_is_kept(unbroken: TrainedPhases) -> None:
    figures = [record.val_accuracy for record in unbroken.history]
    assert [record.stage for record in unbroken.history] == [1] * 6 + [2] * 2 + [3] * 2
    assert unbroken.best is not None and unbroken.best.val_accuracy == max(figures) > max(0.85, figures[0])
    assert unbroken.best.val_loss == 1 - unbroken.best.val_accuracy


@pytest.mark.parametrize("interrupt", [(1, 2), (2, 1), (3, 1)])
def test_a_training_that_was_broken_off_ends_as_an_unbroken_one(
    unbroken: TrainedPhases,
    networks: tuple[Network, Network],
    images: ImageViews,
    tmp_path: Path,
    interrupt: tuple[int, int],
) -> None:
    broken = learn(networks, images, tmp_path, interrupt)
    assert broken.interrupted and len(broken.history) < len(unbroken.history)
    whole = learn(networks, images, tmp_path)
    assert figures_of(whole) == figures_of(unbroken)
    assert whole.best is not None and unbroken.best is not None and whole.best.stage == unbroken.best.stage
    for number, state in unbroken.states.items():
        for kind in ("weights", "average", "best_weights"):
            assert same(getattr(state, kind), getattr(whole.states[number], kind)), (number, kind)
    assert same(whole.network.state_dict(), unbroken.network.state_dict())


def test_few_pictures_of_masks_try_another_model_where_nobody_chose_one(images: ImageViews) -> None:
    truth, plain = images.samples.truth, Recipe()
    asked = with_others(plain, truth, FEW)
    assert [(phase.model, phase.epochs) for phase in asked.phases] == [(None, None), (None, 0), ("u_net_small", None)]
    assert with_others(plain, truth, FEW + 1) == plain
    chosen = replace(plain, model=replace(plain.model, head="lr_aspp"))
    assert with_others(chosen, truth, FEW) == chosen
    shorter = replace(plain, phases=(Phase(epochs=3), Phase(epochs=0)))
    assert with_others(shorter, truth, FEW) == shorter
    assert other_phase({**truth, "more": truth["segmentation"]}, FEW) is None


def test_the_model_that_was_kept_is_said(unbroken: TrainedPhases) -> None:
    recipe = Recipe(precision="bfloat16", phases=(Phase(), Phase(unfreeze=1), Phase(model="u_net_small")))
    other = replace(unbroken, best=unbroken.states[3].best)
    won = as_won(recipe, other)
    assert (won.model.name, won.model.head) == ("u_net_small", "u_net_small")
    said = compared(recipe, other)
    assert said is not None and said.endswith("Kept: u_net_small.")
    assert f"{unbroken.states[3].best.val_accuracy:.3f}" in said and recipe.model.name in said
    backbone = replace(unbroken, best=unbroken.states[1].best)
    assert as_won(recipe, backbone) == recipe
    assert compared(recipe, replace(unbroken, states={1: unbroken.states[1]})) is None


def test_another_model_has_the_head_of_its_name_and_the_seed(images: ImageViews) -> None:
    recipe = Recipe(phases=(Phase(epochs=1), Phase(model="u_net_small", epochs=1, lr=1e-3)))
    recipe = recipe.resolved(LEARNED, closed_form=False)
    one, other = (others_of(recipe, images.samples.truth)[2] for _ in range(2))
    assert one.head_specs["segmentation"].head == "u_net_small" and one.architecture.name == "u_net_small"
    assert same(one.state_dict(), other.state_dict())


def figures_of(trained: TrainedPhases) -> list[object]:
    return [
        replace(record, seconds=0.0, images_per_second=0.0, waiting=0.0, peak_memory=0.0) for record in trained.history
    ]


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """But for norms' counts of batches, which nobody reads."""
    return one.keys() == other.keys() and all(
        torch.equal(each, other[name]) for name, each in one.items() if each.is_floating_point()
    )
