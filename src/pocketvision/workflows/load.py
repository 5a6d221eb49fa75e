"""load: a bundle, or a pre-trained network by its name, ready to classify images."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pocketvision.errors import UsageError
from pocketvision.runtime.chained_predictor import Answering, ChainedPredictor
from pocketvision.runtime.novelty import telling
from pocketvision.runtime.predictor import Predictor
from pocketvision.runtime.second_look import SecondLook
from pocketvision.tasks.task import Detail, ViewOptions
from pocketvision.workflows.pretrained import open_bundle


def load(
    bundle: str | Path,
    *,
    backend: str | None = None,
    threads: int | None = None,
    device: str = "cpu",
    detail: Detail = Detail(),  # noqa: B008 (frozen)
    views: ViewOptions = ViewOptions(),  # noqa: B008 (frozen)
) -> Predictor:
    """Open a bundle's folder (or a pre-trained network by name): `load("runs/leaves/bundle")("photo.jpg").label`.

    backend: "onnxruntime", "openvino", "torch", "torch-compiled" or "executorch"; "auto" for the fastest here; None for the first
    that has a file in the bundle. device: in the backend's words. threads: cores to use at most; None takes every core this
    process may use. detail: how much of the answers is wanted. views: how large pictures are looked at. Raises
    BundleError when the bundle is damaged, of a newer format, or has no file for the backend.
    """
    return Predictor(open_bundle(bundle), backend=backend, threads=threads, device=device, detail=detail, views=views)


def load_chain(
    bundle: str | Path,
    then: str | Path | None,
    of: Sequence[str] | None,
    margin: float,
    *,
    backend: str | None,
    threads: int | None,
    device: str,
    detail: Detail,
    views: ViewOptions = ViewOptions(),  # noqa: B008 (frozen)
    unsure: bool = False,
) -> Answering:
    """A bundle, or that and a second one, `then`, that looks at what was found: see SecondLook. unsure: let the first say which
    images are none of its classes (novelty.telling). Raises UsageError for two that do not go together."""
    opened = telling(open_bundle(bundle)) if unsure else open_bundle(bundle)
    first = Predictor(opened, backend=backend, threads=threads, device=device, detail=detail, views=views)
    if then is None:
        if of is not None or margin:
            raise UsageError("--of and --margin say what a second model looks at: give --then BUNDLE as well.")
        return first
    second = load(then, backend=backend, threads=threads, device=device, detail=replace(detail, tasks=None, by_task={}))
    return ChainedPredictor(first, second, SecondLook(None if of is None else tuple(of), margin), threads=threads)
