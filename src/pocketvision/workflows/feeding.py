"""How a training run is fed: from the trunk cache, within its size limit, or the plain way."""

import hashlib
from pathlib import Path

import safetensors.torch

from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.preprocessing import Preprocessing
from pocketvision.training.inputs import CachedInputs, ImageViews, Inputs, PlainInputs
from pocketvision.training.recipe import Recipe
from pocketvision.training.trunk_cache import TrunkCache
from pocketvision.training.trunk_runtime import TrunkRuntime, compile_trunk, trunk_layouts
from pocketvision.training.two_stage import Entries, rows_of_all_epochs
from pocketvision.workflows.progress import Counted
from pocketvision.workflows.run_log import RunLog
from pocketvision.workflows.training_data import TrainingData


def make_inputs(
    recipe: Recipe,
    data: TrainingData,
    network: Network,
    preprocessing: Preprocessing,
    *,
    cut: int,
    entries: Entries,
    validation: Entries,
    folder: Path,
    log: RunLog,
) -> Inputs:
    """Inputs for both stages. With a cache, every view is computed here and now, into `folder`.

    Views that would not fit into the cache's limit are given up, aloud; a UsageError when not even one fits.
    """
    images = ImageViews(
        data.samples,
        data.content_hashes,
        preprocessing,
        recipe.augmentation,
        recipe.seed,
        recipe.workers,
        recipe.max_pixels,
    )
    if not recipe.cache:
        return PlainInputs(images, network, cut)
    size = {"height": preprocessing.height, "width": preprocessing.width}
    cache = TrunkCache(
        folder, fingerprint=_fingerprint(network, cut, preprocessing), layouts=trunk_layouts(network, cut, **size)
    )
    for path in cache.discarded:
        log.note(f"The cache file {path.name} was damaged; what it held is computed anew.")
    views = _views_within(recipe, len(entries.samples), len(validation.samples), cache.row_bytes)
    if views < recipe.views:
        log.note(
            f"The trunk cache's limit of {recipe.cache_limit / 1e9:g} GB holds {views} views an image, not {recipe.views}."
        )
    trunk = cache.folder / "trunk.onnx"
    if not trunk.exists():
        compile_trunk(network, cut, **size, path=trunk)
    inputs = CachedInputs(images, cache, views)
    rows = rows_of_all_epochs(entries, validation.samples, views)
    inputs.fill(rows, TrunkRuntime(trunk), lambda done, total: log(Counted("cache", done, total)))
    return inputs


def _views_within(recipe: Recipe, training: int, validation: int, row_bytes: int) -> int:
    fitting = (recipe.cache_limit // row_bytes - validation) // max(training, 1)
    if fitting < 1:
        needed = (training + validation) * row_bytes
        raise UsageError(
            f"One view of every image needs {needed / 1e9:.2f} GB of trunk cache; --cache-limit allows "
            f"{recipe.cache_limit / 1e9:g} GB. Raise it, or train with --no-cache."
        )
    return min(recipe.views, fitting)


def _fingerprint(network: Network, cut: int, preprocessing: Preprocessing) -> str:
    """All that a cached row depends on besides the view: weights (but not the new classifier's), cut and preprocessing."""
    state = {
        name: tensor.contiguous() for name, tensor in network.state_dict().items() if not name.startswith("classifier.")
    }
    weights = hashlib.sha256(safetensors.torch.save(state)).hexdigest()
    return f"{weights}|{cut}|{preprocessing.to_dict()}"
