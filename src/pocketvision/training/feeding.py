"""How a training run is fed: from the trunk cache, within its size limit, or the plain way."""

import hashlib
import json
from pathlib import Path

import onnxruntime
import safetensors.torch
from platformdirs import user_cache_path

from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.preprocessing import Preprocessing
from pocketvision.printable import counted
from pocketvision.progress import Counted
from pocketvision.training.inputs import CachedInputs, ImageViews, Inputs, PlainInputs
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_log import RunLog
from pocketvision.training.training_data import TrainingData
from pocketvision.training.trunk_cache import TrunkCache
from pocketvision.training.trunk_runtime import compile_trunk, trunk_layouts
from pocketvision.training.two_stage import Entries


def make_inputs(
    recipe: Recipe,
    data: TrainingData,
    network: Network,
    preprocessing: Preprocessing,
    *,
    cut: int | None,
    entries: Entries,
    validation: Entries,
    folder: Path,
    log: RunLog,
) -> Inputs:
    """Inputs for both stages. With a cache, each view is computed when an epoch first asks for it, into `folder`.

    cut: None where everything learns, and nothing is cached. Views that would not fit into the cache's limit are given up,
    aloud; a UsageError when not even one fits.
    """
    images = ImageViews(
        data.samples,
        data.content_hashes,
        preprocessing,
        recipe.data.augmentation,
        recipe.seed,
        recipe.data.workers,
        recipe.data.max_pixels,
    )
    if cut is None or not recipe.cache.enabled:
        return PlainInputs(images, network, cut or 0)
    height, width, names = preprocessing.height, preprocessing.width, network.features_read
    fingerprint = _fingerprint(network, cut, preprocessing)
    trunk, tail = (
        TrunkCache(folder, fingerprint=fingerprint, layouts=layouts)
        for layouts in trunk_layouts(network, cut, names, height=height, width=width)
    )
    for path in (*trunk.discarded, *tail.discarded):
        log.note(f"The cache file {path.name} was damaged; what it held is computed anew.")
    row_bytes = trunk.row_bytes + tail.row_bytes
    views = _views_within(recipe, len(entries.samples), len(validation.samples), row_bytes)
    if views < recipe.cache.views:
        log.note(
            f"The trunk cache's limit of {recipe.cache.limit:g} GB holds {counted(views, 'view')} an image, "
            f"not {recipe.cache.views}."
        )
    # Compiled once for these weights and features, whoever trains on them next.
    digest = hashlib.sha256(f"{fingerprint}|{names}".encode("utf-8", "surrogateescape")).hexdigest()
    compiled = user_cache_path("pocketvision") / "trunks" / digest[:20]
    runtime = compile_trunk(network, cut, names, height=height, width=width, folder=compiled)
    return CachedInputs(
        images, trunk, tail, runtime, views=views, on_images=lambda done, total: log(Counted("cache", done, total))
    )


def _views_within(recipe: Recipe, training: int, validation: int, row_bytes: int) -> int:
    fitting = (int(recipe.cache.limit * 1e9) // row_bytes - validation) // max(training, 1)
    if fitting < 1:
        needed = (training + validation) * row_bytes
        raise UsageError(
            f"One view of every image needs {needed / 1e9:.2f} GB of trunk cache; cache.limit allows "
            f"{recipe.cache.limit:g} GB. Raise it, or train with --set cache.enabled=false."
        )
    return min(recipe.cache.views, fitting)


def _fingerprint(network: Network, cut: int, preprocessing: Preprocessing) -> str:
    """All that a cached row depends on besides the view: rows, weights (but not the new heads'), cut, preprocessing."""
    state = {
        name: tensor.contiguous() for name, tensor in network.state_dict().items() if not name.startswith("heads.")
    }
    weights = hashlib.sha256(safetensors.torch.save(state)).hexdigest()
    rows = json.dumps(network.architecture.to_dict(), sort_keys=True)
    return f"{rows}|{weights}|{cut}|{preprocessing.to_dict()}|{onnxruntime.__version__}"
