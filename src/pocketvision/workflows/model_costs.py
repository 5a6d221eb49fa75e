"""models info --layers: what every layer of a network costs, and how long it takes here."""

from dataclasses import replace
from pathlib import Path

from pocketvision.benchmarking.contenders import is_folder
from pocketvision.costs.counting import count
from pocketvision.costs.layer_cost import NetworkCosts
from pocketvision.costs.profiling import ProfileSettings, profiled, write_traces
from pocketvision.errors import UsageError
from pocketvision.export.exportable import Exportable
from pocketvision.models.catalog import architecture, build
from pocketvision.models.published_networks import published_network
from pocketvision.models.published_weights import default_preprocessing
from pocketvision.models.rebuild import rebuilt
from pocketvision.tasks.classification.task import classifying
from pocketvision.training.frozen_stages import let_stages_learn, unfrozen_by
from pocketvision.training.recipe_file import read_recipe
from pocketvision.training.run_folder import RunFolder
from pocketvision.workflows.pretrained import open_bundle


def model_costs(
    model: str | Path,
    *,
    size: int | None = None,
    unfreeze: int | None = None,
    profile: ProfileSettings | None = None,
    trace: str | Path | None = None,
) -> NetworkCosts:
    """Of an architecture, a bundle or a published network by name: parameters, multiply-accumulates, outputs and what each sees,
    layer by layer; with `profile` also its time in every runtime.

    size: pixels of a square input (None: the bundle's, the architecture's). unfreeze: how many of the last stages learn, 0 for
    the heads alone; None is what the bundle's run did, and everything where there is none. trace: write Chrome traces (.json).
    Raises UsageError for an unknown name, a size that does not fit, a trace without a profile, and a bundle without weights.
    """
    if trace is not None and profile is None:
        raise UsageError("--trace writes what --profile measures: give --profile as well.")
    if trace is not None and Path(trace).suffix.lower() != ".json":
        raise UsageError(f"--trace {trace}: expected a name that ends in .json.")
    if size is not None and not 8 <= size <= 4096:
        raise UsageError(f"--size is {size}; expected a number from 8 to 4096.")
    source = cost_source(model, size)
    network = source.network
    network.architecture.check_size(source.preprocessing.height, source.preprocessing.width)
    learning = _of_run(Path(model)) if unfreeze is None else unfreeze
    let_stages_learn(network, learning)
    fed = (source.preprocessing.height, source.preprocessing.width)
    if profile is None:
        return count(network, fed, name=str(model))
    costs, traces = profiled(source, fed, profile, name=str(model))
    if trace is not None:
        write_traces(Path(trace), traces)
    return costs


def cost_source(model: str | Path, size: int | None = None) -> Exportable:
    """What is counted and timed: a bundle's own network, or an architecture with random weights and a thousand classes."""
    if is_folder(str(model)) or published_network(str(model)) is not None:
        bundle = open_bundle(model)
        pixels = bundle.preprocessing if size is None else bundle.preprocessing.with_size(size)
        return Exportable(rebuilt(bundle).requires_grad_(True), bundle.tasks, pixels)
    row = architecture(str(model))
    side = row.input_size if size is None else size
    pixels = replace(default_preprocessing(row.name, side), height=side, width=side)
    network = build(row).eval()
    return Exportable(network, classifying(list(map(str, range(network.num_classes)))), pixels)


def _of_run(bundle: Path) -> int | None:
    """What learned in the last phase of the run that a bundle lies in; None where there is none, or where all of it did."""
    run = RunFolder(bundle.parent)
    if not bundle.is_dir() or not run.recipe.is_file():
        return None
    return unfrozen_by(read_recipe(run.recipe))
