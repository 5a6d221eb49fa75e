"""Heads added to a bundle: its backbone stays frozen and its own heads as they are, so that earlier tasks answer as before."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pocketvision.atomic_files import write_json
from pocketvision.baseline import Distribution
from pocketvision.bundle import Bundle
from pocketvision.data.learned_from import LearnedFrom, known_to
from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.models.catalog import architecture
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.models.rebuild import rebuilt
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.manifest import TaskManifest, output_names
from pocketvision.training.recipe import DEFAULT_PHASES, Recipe
from pocketvision.training.recipe_file import recipe_of
from pocketvision.training.run_folder import RunFolder
from pocketvision.training.setting_values import Given, changed, setting_at

_FIXED = ("model.name", "model.weights", "model.weights_key", "data.size", "data.interpolation")
"""What the bundle has settled already."""


@dataclass(frozen=True, eq=False)
class Base:
    """What heads are added to. network: with the heads of the bundle alone, in eval mode."""

    bundle: Bundle
    network: Network

    @classmethod
    def of(cls, bundle: Bundle) -> "Base":
        """Raises BundleError, and UsageError for a bundle without weights (a quantized one)."""
        return cls(bundle, rebuilt(bundle))

    def start(self, heads: Mapping[str, HeadSpec], seed: int) -> Network:
        """The backbone with new heads alone, the same for the same seed."""
        network = copy.deepcopy(self.network)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network.set_heads(heads)
        return network.eval()

    def whole(self, learned: Network) -> Network:
        """The bundle's network with the heads that `learned` has beside its own."""
        network = copy.deepcopy(self.network)
        with torch.random.fork_rng(devices=[]):  # the random start of the heads is overwritten
            network.set_heads({**self.network.head_specs, **learned.head_specs})
        own, new = self.network.state_dict(), learned.state_dict()
        network.load_state_dict({**own, **{name: each for name, each in new.items() if name.startswith("heads.")}})
        return network.eval().requires_grad_(False)

    def tasks(self, new: Mapping[str, TaskManifest]) -> dict[str, TaskManifest]:
        """The bundle's tasks as they are, and the new ones, each with outputs of its own name."""
        return {name: _named_apart(name, task) for name, task in {**self.bundle.tasks, **new}.items()}

    def learned_from(self, new: LearnedFrom) -> LearnedFrom:
        """The images of the bundle's training too, where it tells them."""
        before = known_to(self.bundle)
        return new if before is None else before.united(new)

    def baseline(self, measured: Mapping[str, Distribution]) -> dict[str, Distribution]:
        """Of the bundle's tasks as they were, of what was measured now as it is."""
        return {**self.bundle.manifest.baseline, **measured}


def _named_apart(name: str, task: TaskManifest) -> TaskManifest:
    return replace(task, outputs=output_names(name, task_named(task.kind).role_names, alone=False))


def recipe_of_heads(
    recipe: Recipe | str | Path | None, given: Sequence[Given], effort: str | None, preset: str | None = None
) -> Recipe:
    """As recipe_of, with heads alone where no recipe is named. Raises UsageError for settings that would change the bundle's
    network or what it is fed."""
    if recipe is None and effort is None and preset is None:
        recipe = Recipe(phases=DEFAULT_PHASES[:1])
    found = recipe_of(recipe, given, effort, preset)
    _require_addable(found, given)
    return found


def _require_addable(recipe: Recipe, given: Sequence[Given]) -> None:
    for each in given:
        if each.path in _FIXED:
            raise UsageError(
                f"{each.spelt} and --add-to contradict each other: the bundle has settled that. Leave it out."
            )
    unfrozen = [number for number, phase in enumerate(recipe.phases, start=1) if phase.unfreeze and phase.epochs != 0]
    if unfrozen:
        raise UsageError(
            f"phases.{unfrozen[0]}.unfreeze is {recipe.phases[unfrozen[0] - 1].unfreeze}, and with --add-to the backbone stays "
            "as it is, so that earlier tasks answer as before. Expected 0 in every phase."
        )


def recipe_for(run: RunFolder, recipe: Recipe, bundle: Bundle) -> Recipe:
    """The recipe with the bundle's architecture and input size. Rows that no name stands for are written into the run."""
    rows = bundle.manifest.architecture
    name = str(rows.get("name", ""))
    if not _is_known(name, rows):
        write_json(run.architecture, rows)
        name = str(run.architecture.resolve())
    fed = bundle.preprocessing
    side = fed.height if fed.height == fed.width else None
    known = setting_at(Recipe, "data.interpolation", "").choices
    interpolation = {"data.interpolation": fed.interpolation} if fed.interpolation in known else {}
    return changed(recipe, {"model.name": name, "data.size": side, **interpolation})


def _is_known(name: str, rows: Mapping[str, object]) -> bool:
    try:
        return architecture(name).to_dict() == rows
    except (PocketVisionError, ValueError):
        return False
