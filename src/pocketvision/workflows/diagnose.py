"""diagnose: what ails a finished training, each finding with its evidence and one next step."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.bundle import MANIFEST, Bundle, read_bundle
from pocketvision.compression.bundle_images import BundleImages, calibration_images, measuring_images
from pocketvision.diagnosis.confused_pairs import confused
from pocketvision.diagnosis.finding import Finding, worst_first
from pocketvision.diagnosis.fit_gap import gap, measured
from pocketvision.diagnosis.history_findings import ran_away, too_short, waits_for_data
from pocketvision.diagnosis.insides import dead_channels, gradients
from pocketvision.diagnosis.learning_curve import FEWEST, learning_curve, more_pictures, not_in_closed_form
from pocketvision.diagnosis.object_size import too_small
from pocketvision.errors import UsageError
from pocketvision.models.ensemble import Ensemble
from pocketvision.models.network import Network, fold_norms
from pocketvision.models.rebuild import rebuilt
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.runtime.backends import open_backend
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.training.frozen_stages import frozen_features_of, let_learn
from pocketvision.training.learned_tasks import objective_of
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_folder import RunFolder, RunSettings

BATCH, LOOKED_INTO = 16, 32
"""Pictures of the batch whose gradients are looked at, and of which channels are."""


@dataclass(frozen=True)
class Diagnosis:
    """Of a run, the worst findings first."""

    run: Path
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"run": str(self.run), "findings": [each.to_dict() for each in self.findings]}


def diagnose(run: str | Path, *, pictures: int = 600, on_event: OnEvent = silent) -> Diagnosis:
    """Look at a finished run of any task: its epochs, its bundle on at most `pictures` training and validation pictures each, and
    its network inside. Nothing is changed.

    Raises UsageError for what is no run, one that is not finished or of a newer version, one whose pictures are gone, and fewer
    pictures than 10.
    """
    if pictures < 10:
        raise UsageError(f"--pictures is {pictures}; expected 10 or more, for figures that say something.")
    folder, settings, bundle = _read(Path(run))
    history = folder.read_history()
    if not history:
        raise UsageError(f"{folder.folder / 'history.csv'} has no epochs. Finish the run: --resume {folder.folder}")
    training = calibration_images(bundle, None, on_event, most=pictures)
    held = measuring_images(bundle, None, on_event, most=pictures)
    found = [too_short(history), ran_away(history), waits_for_data(history)]
    on_event(Note(f"Answering {len(training)} training and {len(held)} validation pictures"))
    found += _figures(bundle, training, held)
    for task, truth in training.truth.items():
        found.append(too_small(task, truth, training.placements, bundle.preprocessing))
    on_event(Note("Looking into the network"))
    found += _inside(rebuilt(bundle), settings.recipe, training, held)
    return Diagnosis(folder.folder, tuple(worst_first(found)))


def _read(path: Path) -> tuple[RunFolder, RunSettings, Bundle]:
    folder = RunFolder(path.parent if (path / MANIFEST).is_file() else path)
    settings = RunSettings.read(folder)
    if not (folder.bundle / MANIFEST).is_file() or not (folder.folder / "history.csv").is_file():
        raise UsageError(
            f"{folder.folder} is not finished (its status is {settings.status!r}): there is no bundle to look into. Go on with "
            f"it: pocketvision train --resume {folder.folder}"
        )
    return folder, settings, read_bundle(folder.bundle)


def _figures(bundle: Bundle, training: BundleImages, held: BundleImages) -> list[Finding]:
    """By task: the gap, and what is confused."""
    backend = open_backend(bundle)
    records = held.answered(bundle.tasks, backend.run).records
    learned = measured(bundle.tasks, training.answered(bundle.tasks, backend.run).records)
    figures = measured(bundle.tasks, records)
    found = [gap(task, learned[task], figures[task]) for task in figures if task in learned]
    return found + [confused(task, bundle.tasks[task], records[task], each) for task, each in figures.items()]


def _inside(network: Network, recipe: Recipe, training: BundleImages, held: BundleImages) -> list[Finding]:
    few = training.some(LOOKED_INTO)
    images = np.stack([few.load(index) for index in range(len(few))])
    found = [dead_channels(network, images)]
    if isinstance(network.architecture, Ensemble):
        return found
    batch = training.some(BATCH)
    placed = [batch.placed(index) for index in range(len(batch))]
    let_learn(network, recipe)
    inputs, placements = np.stack([image for image, _ in placed]), [each for _, each in placed]
    found.append(gradients(network, objective_of(batch.truth), inputs, placements))
    return found + _curves(network, recipe, training, held)


def _curves(network: Network, recipe: Recipe, training: BundleImages, held: BundleImages) -> list[Finding]:
    """By task, where its heads have a closed form and part of the network did not learn."""
    found, names = [], frozen_features_of(network, recipe)
    features: Mapping[str, Any] | None = None
    for task, truth in training.truth.items():
        about, other = f"more pictures for {task}", held.truth.get(task)
        if not isinstance(truth, ClassLabels) or not isinstance(other, ClassLabels):
            found.append(not_in_closed_form(task, network.head_rows[task].kind))
        elif not names:
            text = "Every layer learned from these pictures, so features of a share of them would have seen the rest."
            found.append(
                Finding(about, "unknown", text, "Train on half of the pictures and compare: pocketvision evaluate.")
            )
        elif len(training) < FEWEST or len(held) < 10:
            text = f"{len(training)} training and {len(held)} validation pictures are too few for shares of them."
            found.append(Finding(about, "unknown", text))
        else:
            folded = fold_norms(network)
            features = features or {
                "training": _read_features(folded, names, training),
                "held": _read_features(folded, names, held),
            }
            curve = learning_curve(features["training"], truth.labels, features["held"], other.labels)
            found.append(more_pictures(task, curve, len(training)))
    return found


def _read_features(
    network: Network, names: tuple[str, ...], images: BundleImages
) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """(n, d) of all of them."""
    import torch

    with torch.inference_mode():
        rows = [
            torch.cat(
                [each.flatten(1) for each in network.features(torch.from_numpy(batch), names).values()], 1
            ).numpy()
            for batch in images.batches()
        ]
    return np.concatenate(rows)
