"""What a training keeps of what its network makes of pictures, for later: none of these, and pictures that are alike."""

import logging

from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.errors import PocketVisionError
from pocketvision.evaluation.novelty_fit import fit_on_features
from pocketvision.explain.training_pictures import keep_embeddings
from pocketvision.models.heads.linear import LinearHead
from pocketvision.runtime.novelty import FILE as NOVELTY
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.training.final_features import evenly_chosen, final_features
from pocketvision.training.phases import TrainedPhases
from pocketvision.training.run_folder import RunFolder
from pocketvision.training.training_data import TrainingData

logger = logging.getLogger(__name__)


def keep_features(run: RunFolder, bundle: Bundle, trained: TrainedPhases, data: TrainingData) -> Bundle:
    """The bundle with what tells pictures that are unlike all it learned from, and in the run the embeddings of its training
    pictures. What is not linear or does not fit is left out: `threshold --none-of-these` and `explain` say why when they are
    asked, and a training is not lost for it."""
    if trained.fed is None or trained.interrupted:
        return bundle
    part, inputs = trained.fed
    if inputs.images.samples.windows is not None:  # it learned from tiles, which are no pictures
        return bundle
    network = trained.network
    train, others = (evenly_chosen(data.indices(split)) for split in ("train", "val"))
    first = data.samples.file(int(train[0]))
    learned = final_features(part, inputs, train)
    try:
        keep_embeddings(run.folder, bundle, learned.deepest(network), train, first)
        for name, head in network.heads.items():
            truth = data.learned[name]
            if isinstance(head, LinearHead) and isinstance(truth, ClassLabels):
                ordinary = final_features(part, inputs, others).joined(head.names)
                own = learned.joined(head.names)
                novelty = fit_on_features(bundle, name, own, truth.labels[train], ordinary, first)
                return rewrite_bundle(bundle, bundle.manifest, {NOVELTY: novelty.content()})
    except (PocketVisionError, OSError) as error:
        logger.debug("features of the training are not kept: %s", error)
    return bundle
