"""Pooled features of a frozen network on clean views, in ONNX Runtime: for what is asked before any training."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import safetensors.torch
from numpy.typing import NDArray
from platformdirs import user_cache_path

from pocketvision.data.audit import Audit
from pocketvision.data.capture_orders import capture_orders
from pocketvision.data.flattering import flattery
from pocketvision.data.likely_groups import likely_groups
from pocketvision.data.samples import Samples
from pocketvision.errors import ImageError, UsageError
from pocketvision.models.features import CUT, POOLED
from pocketvision.models.network import Network
from pocketvision.models.weights import load_pretrained
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.training.label_problems import label_problems, require_judged
from pocketvision.training.label_sheet import PAGE, TABLE, require_no_table, write_label_sheet
from pocketvision.training.trunk_runtime import RUNTIME_BATCH, compile_trunk

MODEL, SIZE = "efficientnet_lite0", 128
_CUT = 4


def with_flattery(
    found: Audit,
    *,
    max_pixels: int = MAX_PIXELS,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """The audit, and what likely groups do to the validation of its readable pictures. UsageError where none has a class."""
    samples = found.samples.select(found.readable)
    if samples.classes is None:
        raise UsageError(f"{samples.root}: likely groups are found within classes, and its pictures are in none.")
    features, _ = frozen_features(samples, workers=workers, max_pixels=max_pixels, on_progress=on_progress)
    return replace(
        found, flattery=flattery(features, samples, likely_groups(features, samples.labels, capture_orders(samples)))
    )


def with_label_problems(
    found: Audit,
    folder: Path,
    *,
    max_pixels: int = MAX_PIXELS,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """The audit, and what was said of its labels, which is written to `folder` (label_sheet.py). Raises UsageError where labels
    can not be judged (label_problems.py), and where `folder` has a table already."""
    require_judged(found.samples)
    found.samples.require_elsewhere(folder, "--label-problems")
    require_no_table(folder)
    features, readable = frozen_features(found.samples, workers=workers, max_pixels=max_pixels, on_progress=on_progress)
    judged = label_problems(found.samples, found.pairs, features, readable)
    write_label_sheet(judged, folder)
    return replace(
        found, label_problems=(*judged.lines, f"Mend them in {folder / TABLE}; the pictures are in {folder / PAGE}.")
    )


def frozen_features(
    samples: Samples,
    *,
    model: str = MODEL,
    size: int = SIZE,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(n, d) of a pre-trained `model` at `size` pixels, and (n) which pictures could be read; the others are zeros.

    300 pictures/s on 2 cores, decoding included. on_progress: called with the images done and their total.
    """
    pretrained = load_pretrained(model, "auto")
    preprocessing = pretrained.preprocessing.with_size(size)

    def load(index: int) -> NDArray[np.float32] | None:
        try:
            return preprocessing.place(samples.file(index), max_pixels=max_pixels)[0]
        except ImageError:
            return None

    found: list[NDArray[np.float32]] = []
    readable = np.zeros(len(samples), np.bool_)
    runtime = compile_trunk(
        pretrained.network.eval(), _CUT, (POOLED,), height=size, width=size, folder=_compiled(pretrained.network, size)
    )
    waiting: list[NDArray[np.float32]] = []
    for index, image in enumerate(prefetch(load, range(len(samples)), workers=workers, ahead=2 * RUNTIME_BATCH)):
        readable[index] = image is not None
        waiting += [] if image is None else [image]
        if waiting and (len(waiting) == RUNTIME_BATCH or index == len(samples) - 1):
            found.append(runtime.tail(runtime.trunk(np.stack(waiting))[CUT])[POOLED])
            waiting = []
        if on_progress is not None:
            on_progress(index + 1, len(samples))
    features = np.zeros((len(samples), found[0].shape[1] if found else 1), np.float32)
    if found:
        features[readable] = np.concatenate(found)
    return features, readable


def _compiled(network: Network, size: int) -> Path:
    """Where the compiled network is kept for the next time."""
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    named = safetensors.torch.save(state) + f"{POOLED}|{_CUT}|{size}|{onnxruntime.__version__}".encode(
        "utf-8", "strict"
    )
    return user_cache_path("pocketvision") / "trunks" / hashlib.sha256(named).hexdigest()[:20]
