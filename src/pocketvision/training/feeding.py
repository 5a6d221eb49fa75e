"""How a training run is fed: from the trunk cache, within its size limit, or the plain way."""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

import onnxruntime
import safetensors.torch
from platformdirs import user_cache_path

from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.preprocessing import Preprocessing
from pocketvision.printable import counted
from pocketvision.progress import Counted
from pocketvision.runtime.backends import usable_cores
from pocketvision.training.inputs import CachedInputs, ImageViews, Inputs, PlainInputs
from pocketvision.training.learned_tasks import augmentation_of
from pocketvision.training.phase_models import WHOLE
from pocketvision.training.phases import Entries
from pocketvision.training.processes import current, on_this_machine
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_log import RunLog
from pocketvision.training.small_pictures import SmallInputs, are_small
from pocketvision.training.training_data import TrainingData
from pocketvision.training.trunk_cache import TrunkCache
from pocketvision.training.trunk_runtime import TrunkRuntime, compile_trunk, trunk_layouts


def make_inputs(
    recipe: Recipe,
    data: TrainingData,
    network: Network,
    preprocessing: Preprocessing,
    *,
    cuts: Collection[int],
    entries: Entries,
    validation: Entries,
    folder: Path,
    log: RunLog,
    beside: int = 0,
) -> dict[int, Inputs]:
    """Inputs by cut (phase_models.cuts_of), to be made before anything learns. With a cache, each view is computed when an epoch
    first asks for it, into `folder`.

    Views that would not fit into the cache's limit are given up, aloud; a UsageError when not even one fits. beside: bytes that
    something else keeps of each view.
    """
    images = ImageViews(
        data.samples,
        data.content_hashes,
        preprocessing,
        augmentation_of(recipe.data.augmentation, data.learned, recipe.augment),
        recipe.seed,
        recipe.data.workers,
        recipe.data.max_pixels,
    )
    taught = recipe.distillation.views
    kept = are_small(images) and not any(phase.grows for phase in recipe.phases)  # they are decoded at one size
    whole: Inputs = SmallInputs(images, taught) if kept else PlainInputs(images, network, 0, taught)
    if not recipe.cache.enabled:
        return {cut: whole if cut == WHOLE else PlainInputs(images, network, cut, taught) for cut in cuts}
    found: dict[int, Inputs] = {cut: whole for cut in cuts if cut == WHOLE}
    caches = {cut: _caches(network, cut, preprocessing, folder, log) for cut in sorted({*cuts} - {WHOLE})}
    if not caches:
        return found
    row_bytes = beside + sum(cache.row_bytes for pair in caches.values() for cache in pair)
    views = _views_within(recipe, len(entries.samples), len(validation.samples), row_bytes)
    if views < recipe.cache.views:
        log.note(
            f"The trunk cache's limit of {recipe.cache.limit:g} GB holds {counted(views, 'view')} an image, "
            f"not {recipe.cache.views}."
        )
    for cut, (trunk, tail) in caches.items():
        runtime = _compiled(network, cut, preprocessing)
        found[cut] = CachedInputs(
            images, trunk, tail, runtime, views=views, on_images=lambda done, total: log(Counted("cache", done, total))
        )
    return found


def _caches(
    network: Network, cut: int, preprocessing: Preprocessing, folder: Path, log: RunLog
) -> tuple[TrunkCache, TrunkCache]:
    """Of what the trunk gives, and of what the tail makes of it."""
    size, names = {"height": preprocessing.height, "width": preprocessing.width}, network.features_read
    fingerprint = _fingerprint(network, cut, preprocessing)
    trunk, tail = (
        TrunkCache(folder, fingerprint=fingerprint, layouts=layouts)
        for layouts in trunk_layouts(network, cut, names, **size)
    )
    for path in (*trunk.discarded, *tail.discarded):
        log.note(f"The cache file {path.name} was damaged; what it held is computed anew.")
    return trunk, tail


def _compiled(network: Network, cut: int, preprocessing: Preprocessing) -> TrunkRuntime:
    """Compiled once for these weights and features, whoever trains on them next."""
    names = network.features_read
    described = f"{_fingerprint(network, cut, preprocessing)}|{names}"
    digest = hashlib.sha256(described.encode("utf-8", "surrogateescape")).hexdigest()
    folder = user_cache_path("pocketvision") / "trunks" / digest[:20]
    size = {"height": preprocessing.height, "width": preprocessing.width}
    sharing = on_this_machine()
    threads = max(1, usable_cores() // sharing) if sharing > 1 else None
    with current().first_before_others():
        return compile_trunk(network, cut, names, **size, folder=folder, threads=threads)


def _views_within(recipe: Recipe, training: int, validation: int, row_bytes: int) -> int:
    fitting = (int(recipe.cache.limit * 1e9) // row_bytes - validation) // max(training, 1)
    if fitting < 1:
        needed = (training + validation) * row_bytes
        raise UsageError(
            f"One view of every image needs {needed / 1e9:.2g} GB of trunk cache; cache.limit allows "
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
