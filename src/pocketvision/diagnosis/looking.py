"""What is asked of a run's pictures and of its network, task by task."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pocketvision.bundle import Bundle
from pocketvision.compression.bundle_images import BundleImages
from pocketvision.diagnosis.confused_pairs import confused
from pocketvision.diagnosis.finding import Finding
from pocketvision.diagnosis.fit_gap import gap, measured
from pocketvision.diagnosis.insides import dead_channels, gradients
from pocketvision.diagnosis.learning_curve import FEWEST, learning_curve, more_pictures, not_in_closed_form
from pocketvision.diagnosis.object_size import too_small
from pocketvision.models.ensemble import Ensemble
from pocketvision.models.network import Network, fold_norms
from pocketvision.runtime.backends import open_backend
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.training.frozen_stages import frozen_features_of, let_learn
from pocketvision.training.learned_tasks import objective_of
from pocketvision.training.recipe import Recipe

BATCH, LOOKED_INTO = 16, 32
"""Pictures of the batch whose gradients are looked at, and of which channels are."""


def figure_findings(bundle: Bundle, training: BundleImages, held: BundleImages) -> list[Finding]:
    """By task: the gap, what is confused, and whether the input is too small."""
    backend = open_backend(bundle)
    records = held.answered(bundle.tasks, backend.run).records
    learned = measured(bundle.tasks, training.answered(bundle.tasks, backend.run).records)
    figures = measured(bundle.tasks, records)
    found = [gap(task, learned[task], figures[task]) for task in figures if task in learned]
    found += [confused(task, bundle.tasks[task], records[task], each) for task, each in figures.items()]
    own = bundle.preprocessing
    return found + [too_small(task, truth, training.placements, own) for task, truth in training.truth.items()]


def inside_findings(network: Network, recipe: Recipe, training: BundleImages, held: BundleImages) -> list[Finding]:
    """Of the shipped network: channels, gradients, and by task what more pictures would bring."""
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
    with torch.inference_mode():
        rows = [
            torch.cat(
                [each.flatten(1) for each in network.features(torch.from_numpy(batch), names).values()], 1
            ).numpy()
            for batch in images.batches()
        ]
    return np.concatenate(rows)
