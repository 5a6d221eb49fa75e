"""A bundle of a detector whose weights are taken as somebody else trained them."""

from pathlib import Path

from pocketvision.bundle import Bundle
from pocketvision.data.demo_faces import some_pictures
from pocketvision.export.shipping import ship
from pocketvision.models.detectors import Detector
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.detection.task import detecting

_PICTURES = 16
"""That the exported file is compared on: detectors' inputs are large."""


def ship_detector(detector: Detector, folder: Path, preprocessing: Preprocessing | None = None) -> Bundle:
    """Write it to `folder`. preprocessing: None takes its publisher's. Raises AgreementError and writes nothing where the
    exported file says something else."""
    prepared, images = preprocessing or detector.published.weights.preprocessing, some_pictures(_PICTURES)
    return ship(
        detector.network,
        folder,
        tasks=detecting(detector.labels, detector.published.postprocessing),
        preprocessing=prepared,
        load=lambda index: prepared.place(images[index]),
        names=[image.name for image in images],
        origin=detector.origin,
    ).bundle
