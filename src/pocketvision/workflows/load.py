"""load: a bundle, or a pre-trained network by its name, ready to classify images."""

from pathlib import Path

from pocketvision.runtime.predictor import Predictor
from pocketvision.workflows.pretrained import open_bundle


def load(bundle: str | Path, *, backend: str = "onnxruntime", threads: int | None = None) -> Predictor:
    """Open a bundle's folder (or a pre-trained network by name): `load("runs/leaves/bundle")("photo.jpg").label`.

    threads: cores to use at most; None takes every core this process may use. Raises BundleError when it is damaged or of
    a newer format.
    """
    return Predictor(open_bundle(bundle), backend=backend, threads=threads)
