"""What a run starts from: its recipe with what the data asks for, its network, and what of it each phase leaves on disk."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import safetensors.torch
import torch

from pocketvision.atomic_files import replacing
from pocketvision.data.sources.several_tasks import loss_weights
from pocketvision.models.blocks import set_drop_path
from pocketvision.models.heads.catalog import HEADS
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.models.state_files import rows_as_metadata
from pocketvision.models.weights import load_pretrained
from pocketvision.preprocessing import Interpolation, Preprocessing
from pocketvision.tasks.truth import Truth
from pocketvision.training.added_heads import Base
from pocketvision.training.balance import EQUAL
from pocketvision.training.learned_tasks import fitted, head_specs, input_size, other_phase
from pocketvision.training.phases import TrainedPhases
from pocketvision.training.recipe import EFFORTS, ModelSettings, Recipe
from pocketvision.training.run_folder import RunFolder
from pocketvision.training.run_log import RunLog
from pocketvision.training.setting_values import changed
from pocketvision.training.tiled_data import sizes_of
from pocketvision.training.training_data import TrainingData


def with_others(recipe: Recipe, truth: Mapping[str, Truth], pictures: int) -> Recipe:
    """With the phase of another model that the truth asks for, where nobody chose model or phases. It takes the time that stages
    of the backbone would have learned in, and some of that of the heads. pictures: that are learned from."""
    plain = (EFFORTS["default"].phases, EFFORTS["best"].phases)
    other = other_phase(truth, pictures)
    if other is None or recipe.model != ModelSettings() or recipe.phases not in plain:
        return recipe
    phases = (replace(each, epochs=0) if each.unfreeze else replace(each, steps=other.steps) for each in recipe.phases)
    return replace(recipe, phases=(*phases, other))


def as_data_asks(recipe: Recipe, place: Path, data: TrainingData, base: Base | None, log: RunLog) -> Recipe:
    """With the weights of losses that the file of the tasks at `place` names, and the input size that the truth asks for, where
    none were given. A base has its size already."""
    weights = {task: weight for task, weight in loss_weights(place).items() if task in data.learned}
    if weights and recipe.loss.weights == EQUAL:
        recipe = changed(recipe, {"loss.weights": weights})
    if base is not None or recipe.data.size is not None:
        return recipe
    found = input_size(data.learned, sizes_of(data))
    if found is None:
        return recipe
    log.note(found[1])
    return changed(recipe, {"data.size": found[0]})


def start(
    recipe: Recipe, truth: Mapping[str, Truth], white_level: int, base: Base | None, log: RunLog
) -> tuple[Network, Preprocessing, str]:
    """The pre-trained network with new heads, the same for the same seed; its weights' preprocessing and origin. Of a base its
    backbone and all that it is fed."""
    solved = any(phase.solver == "ridge" for phase in recipe.phase_settings())
    heads = head_specs(truth, recipe.model.dropout, head=recipe.model.head, solved=solved)
    if base is not None:
        return base.start(heads, recipe.seed), base.bundle.preprocessing, str(base.bundle.folder)
    pretrained = load_pretrained(recipe.model.name, recipe.model.weights, weights_key=recipe.model.weights_key)
    if pretrained.note:
        log.note(pretrained.note)
    _with_heads(pretrained.network, heads, recipe.seed)
    if recipe.model.drop_path is not None:
        set_drop_path(pretrained.network, recipe.model.drop_path)
    for row in pretrained.network.head_rows.values():
        if row.remark:
            log.note(row.remark)
    interpolation = cast(Interpolation, recipe.data.interpolation)
    preprocessing = replace(pretrained.preprocessing, interpolation=interpolation, white_level=white_level)
    preprocessing = fitted(preprocessing, truth)
    if recipe.data.size is not None:
        preprocessing = preprocessing.with_size(recipe.data.size)
    return pretrained.network, preprocessing, pretrained.origin


def others_of(recipe: Recipe, truth: Mapping[str, Truth]) -> dict[int, Network]:
    """By phase, what learns there in the backbone's place, with the head of its own name where there is one."""
    found = {}
    for settings in recipe.phase_settings():
        if settings.model is not None:
            head = settings.model if settings.model in HEADS else "auto"
            network = load_pretrained(settings.model, "none", seed=recipe.seed).network
            found[settings.number] = _with_heads(
                network, head_specs(truth, recipe.model.dropout, head=head), recipe.seed
            )
    return found


def as_won(recipe: Recipe, trained: TrainedPhases) -> Recipe:
    """For who reads of what was kept: with its model, where that is not the backbone."""
    own = None if trained.best is None else recipe.phases[trained.best.stage - 1].model
    if own is None:
        return recipe
    head = own if own in HEADS else recipe.model.head
    return changed(recipe, {"model.name": own, "model.head": head})


def compared(recipe: Recipe, trained: TrainedPhases) -> str | None:
    """A sentence on which of several models was kept; None where there was one."""
    models = {number: recipe.phases[number - 1].model or recipe.model.name for number in trained.states}
    if trained.best is None or len({*models.values()}) < 2:
        return None
    figures = [
        f"{models[number]} {state.best.val_accuracy:.3f} in {sum(each.seconds for each in state.history):.0f} s (phase {number})"
        for number, state in trained.states.items()
    ]
    return f"Learned in turn, and compared on the validation images: {', '.join(figures)}. Kept: {models[trained.best.stage]}."


def _with_heads(network: Network, heads: Mapping[str, HeadSpec], seed: int) -> Network:
    """The network with new heads, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.set_heads(heads)
    return network.eval()


def write_stage_weights(run: RunFolder, trained: TrainedPhases) -> None:
    """stageN/best.safetensors: what phase N learned, in its best epoch, under the names of the network's state."""
    for number, state in trained.states.items():
        weights = {name.removeprefix("network."): tensor.contiguous() for name, tensor in state.best_weights.items()}
        rows = rows_as_metadata(trained.networks[number].architecture)
        with replacing(run.stage_weights(number)) as temporary:
            temporary.write_bytes(safetensors.torch.save(weights, rows))
