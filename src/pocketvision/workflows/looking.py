"""What a report shows beside its mistakes, of a bundle and the run that it lies in."""

from pathlib import Path

import numpy as np

from pocketvision.bundle import Bundle
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import PocketVisionError
from pocketvision.evaluation.report.looked import Looking, NotLooking
from pocketvision.explain.embeddings import Embedded, kept_embeddings, vectors_of
from pocketvision.explain.methods import AUTO, method_named
from pocketvision.explain.mistake_pictures import MistakePictures
from pocketvision.explain.subject import Subject

SPLIT = "split.csv"


def looking_of(bundle: Bundle, root: Path) -> Looking:
    """Maps where they cost little, and neighbours where the bundle's run kept what it learned from. root: where the images' paths
    start. Nothing where the bundle can not be looked into: that is no reason to have no report."""
    try:
        subject = Subject.of(bundle)
        method = method_named(AUTO, subject)
        return MistakePictures(subject, root, None if method == "occlusion" else method, kept_of_run(subject))
    except PocketVisionError:
        return NotLooking()


def kept_of_run(subject: Subject) -> Embedded | None:
    """The vectors of the training pictures that the bundle's run kept; None where it lies in none, or the run kept none."""
    run = subject.bundle.folder.resolve().parent
    if not (run / SPLIT).is_file():
        return None
    size = subject.bundle.preprocessing
    try:
        samples = read_samples(run / SPLIT, task=subject.bundle.only_kind, labels=subject.bundle.asked_labels)
        length = vectors_of(subject, np.zeros((1, 3, size.height, size.width), np.float32)).shape[1]
    except PocketVisionError:
        return None
    return kept_embeddings(run, samples, length)
