"""An ensemble of bundles: all of them answer, and the mean is what ships, as one graph."""

from collections.abc import Sequence
from pathlib import Path

import torch

from pocketvision.bundle import Bundle
from pocketvision.combining.members import hashes_of_all
from pocketvision.compression.bundle_images import BundleImages
from pocketvision.errors import UsageError, unknown_name
from pocketvision.export.shipping import ship
from pocketvision.models.ensemble import MEAN, Ensemble, Member, MemberHead
from pocketvision.models.ensemble_parts import Members
from pocketvision.models.heads.catalog import MEANS
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.heads.mean import MEANS as OF
from pocketvision.models.network import Network
from pocketvision.models.rebuild import rebuilt
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.manifest import VIEWED, TaskManifest
from pocketvision.training.learned_tasks import calibrated_on


def require_mean(bundle: Bundle, mean: str) -> None:
    """Raise UsageError for tasks whose answers have no mean, and for a mean of something else."""
    if mean not in OF:
        raise unknown_name("mean", mean, OF)
    for name, task in bundle.tasks.items():
        if task.kind not in MEANS:
            raise UsageError(
                f"{name} is of kind {task.kind}, and its answers have no mean: a cell may stand for another object in "
                f"each network. Ensembles are of {', '.join(MEANS)}."
            )


def ensemble_of(bundles: Sequence[Bundle], mean: str) -> Network:
    """Their networks side by side. Raises UsageError for one that has no weights."""
    networks = [rebuilt(bundle) for bundle in bundles]
    first = bundles[0]
    members = tuple(
        Member(
            network.architecture,
            {
                name: MemberHead(
                    task.head,
                    network.head_specs[name].classes,
                    task.features,
                    dict(task.postprocessing),
                    tuple(task.labels.index(each) for each in first.tasks[name].labels),
                )
                for name, task in bundle.tasks.items()
            },
        )
        for bundle, network in zip(bundles, networks, strict=True)
    )
    kinds = {name: task.kind for name, task in first.tasks.items()}
    heads = {
        name: HeadSpec(MEANS[kind].head, members[0].heads[name].classes, features=(MEAN + name,))
        for name, kind in kinds.items()
    }
    with torch.random.fork_rng(devices=[]):  # their random start is overwritten
        whole = Network(Ensemble(members, kinds, mean), heads)
    assert isinstance(whole.head, Members)
    for own, network in zip(whole.head.networks, networks, strict=True):
        own.load_state_dict(network.state_dict())
    return whole.eval()


def ship_ensemble(bundles: Sequence[Bundle], network: Network, images: BundleImages, folder: Path) -> Bundle:
    """Written to `folder`, its postprocessing found anew on the images where something is said of them."""
    first = bundles[0]
    return ship(
        network,
        folder,
        tasks={name: _task(task) for name, task in first.tasks.items()},
        preprocessing=first.preprocessing,
        load=images.placed,
        names=[str(file) for file in images.files],
        calibrate=calibrated_on(images.truth) if images.truth else None,
        split="val" if images.truth else "",
        files=hashes_of_all(bundles),
    ).bundle


def _task(task: TaskManifest) -> TaskManifest:
    """Of the ensemble: the members' own numbers are inside it; a number's unit and scale are those of the first."""
    kept = {name: value for name, value in task.postprocessing.items() if name in VIEWED}
    if not task_named(task.kind).has_classes:
        kept = {name: value for name, value in task.postprocessing.items() if name in ("scale", "offset", "unit")}
    return TaskManifest(task.kind, task.labels, dict(task.outputs), postprocessing=kept)
