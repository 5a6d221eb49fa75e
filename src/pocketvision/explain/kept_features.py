"""What a training keeps of what its network makes of pictures, for later: none of these, and pictures that are alike."""

import logging

from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.errors import BundleError, PocketVisionError, UsageError
from pocketvision.evaluation.novelty_fit import fit_on_features
from pocketvision.explain.training_pictures import is_as_shipped, write_embeddings
from pocketvision.models.heads.linear import LinearHead
from pocketvision.models.network import Network
from pocketvision.runtime.novelty import FILE as NOVELTY
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.training.final_features import evenly_chosen, final_features
from pocketvision.training.inputs import Inputs
from pocketvision.training.phase_models import Part
from pocketvision.training.phases import TrainedPhases
from pocketvision.training.run_folder import RunFolder
from pocketvision.training.run_log import RunLog
from pocketvision.training.training_data import TrainingData

logger = logging.getLogger(__name__)


def keep_features(run: RunFolder, bundle: Bundle, trained: TrainedPhases, data: TrainingData, log: RunLog) -> Bundle:
    """The bundle with what tells pictures that are unlike all it learned from, and in the run the embeddings of its training
    pictures. What is not linear or does not fit is left out: `threshold --none-of-these` and `explain` say why when they are
    asked. A training is not lost for what goes wrong here; that is said."""
    if trained.fed is None or trained.interrupted:
        return bundle
    part, inputs = trained.fed
    if inputs.images.samples.windows is not None:  # it learned from tiles, which are no pictures
        return bundle
    try:
        return _kept(run, bundle, part, inputs, trained.network, data)
    except (UsageError, BundleError) as error:
        logger.debug("novelty is not kept: %s", error)
    except (PocketVisionError, OSError) as error:
        log.note(f"What would tell pictures that are alike, or of none of the classes, is not kept: {error}")
    return bundle


def _kept(run: RunFolder, bundle: Bundle, part: Part, inputs: Inputs, network: Network, data: TrainingData) -> Bundle:
    train, others = (evenly_chosen(data.indices(split)) for split in ("train", "val"))
    first = data.samples.file(int(train[0]))
    alike = is_as_shipped(bundle, final_features(part, inputs, train[:1]).deepest(network)[0], first)
    linear = [
        (name, head, truth)
        for name, head in network.heads.items()
        if isinstance(head, LinearHead) and isinstance(truth := data.learned.get(name), ClassLabels)
    ]
    if not alike and not linear:
        return bundle  # before the pass over all of them
    learned = final_features(part, inputs, train)
    if alike:
        write_embeddings(run.folder, learned.deepest(network), train)
    for name, head, truth in linear:
        ordinary = final_features(part, inputs, others).joined(head.names)
        own = learned.joined(head.names)
        novelty = fit_on_features(bundle, name, own, truth.labels[train], ordinary, first)
        return rewrite_bundle(bundle, bundle.manifest, {NOVELTY: novelty.content()})
    return bundle
