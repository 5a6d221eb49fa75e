"""Which number format a network learns fastest in here, by the clock: a few steps in each, once a machine, and kept."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from platformdirs import user_cache_path
from torch.nn import functional as F

from pocketvision.atomic_files import write_json
from pocketvision.models.catalog import build
from pocketvision.models.network import Network
from pocketvision.models.spec import ModelSpec
from pocketvision.training.device import device_of, has_bfloat16
from pocketvision.training.precision import (
    ONEDNN,
    PRECISIONS,
    has_onednn,
    multiplied_as,
    precision_on_gpu,
    resolve_precision,
)
from pocketvision.training.recipe import Recipe

AGREEING = 0.02
"""How far the loss of the first step may lie from float32's, as a share of it."""

WORTH = 1.05
"""How many times as fast as float32 another format has to be: less is the clock's chance."""

_CLASSES, _STEPS, _MOST_IMAGES = 10, 3, 32

Clock = Callable[[], float]


def precision_of(recipe: Recipe) -> str:
    """The number format of a run: by name, what this CPU is known to be faster in, or what was measured of the whole network; on
    a GPU what it has."""
    if (device := device_of(recipe.device)) != "cpu":
        return precision_on_gpu(recipe.precision, bfloat16=has_bfloat16(device))
    if recipe.precision == "measured":
        rows = recipe.model.spec()
        return measured_precision(rows, recipe.data.size or rows.input_size, recipe.batch or _MOST_IMAGES)[0]
    unknown = recipe.model.from_scratch and recipe.precision == "auto"  # where norms learn, the CPU's words do not tell
    return "float32" if unknown else resolve_precision(recipe.precision)


def measured_precision(
    rows: ModelSpec, size: int, batch: int, *, folder: Path | None = None, clock: Clock = time.perf_counter
) -> tuple[str, Mapping[str, float]]:
    """The fastest of `candidates` whose loss agrees with float32's, of a network of the rows that learns from square images, and
    the images a second of each that agrees. Seconds the first time; the result is kept in `folder`, None for the user's cache.
    """
    tried = candidates()
    where: list[object] = [
        *tried,
        json.dumps(rows.to_dict(), sort_keys=True),
        size,
        batch,
        torch.__version__,
        torch.get_num_threads(),
    ]
    digest = hashlib.sha256(json.dumps([*where, str(torch.cpu.get_capabilities())]).encode()).hexdigest()[:20]
    kept = (user_cache_path("pocketvision") / "precisions" if folder is None else folder) / f"{digest}.json"
    with suppress(OSError, ValueError, KeyError, AttributeError):
        rates = {name: float(rate) for name, rate in json.loads(kept.read_text()).items() if name in PRECISIONS}
        return _fastest(rates), rates
    rates = _rates(rows, size, min(batch, _MOST_IMAGES), tried, clock)
    with suppress(OSError):  # a cache that can not be written is measured anew
        write_json(kept, rates)
    return _fastest(rates), rates


def candidates() -> tuple[str, ...]:
    """What is tried on this CPU; float16 has no hardware there that would pay."""
    return ("float32", "bfloat16", ONEDNN) if has_onednn() else ("float32", "bfloat16")


def _fastest(rates: Mapping[str, float]) -> str:
    best = max(rates, key=lambda name: rates[name])
    return best if rates[best] >= WORTH * rates["float32"] else "float32"


def _rates(rows: ModelSpec, size: int, batch: int, tried: Sequence[str], clock: Clock) -> dict[str, float]:
    """Images a second by format; the formats take turns, so that others on the machine slow all of them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(rows, num_classes=_CLASSES, dropout=0.0).to(memory_format=torch.channels_last).train()
        images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
        classes = torch.arange(batch) % _CLASSES
        losses, seconds = dict.fromkeys(tried, 0.0), {name: float("inf") for name in tried}
        for step in range(_STEPS):
            for name in tried:
                torch.manual_seed(1)
                started = clock()
                losses[name] = _step(network, images, classes, name)
                taken = clock() - started
                if step:  # the first makes memory and kernels
                    seconds[name] = min(seconds[name], taken)
    expected = losses["float32"]
    return {name: batch / seconds[name] for name in tried if abs(losses[name] - expected) <= AGREEING * abs(expected)}


def _step(network: Network, images: torch.Tensor, classes: torch.Tensor, precision: str) -> float:
    """The loss, its gradients computed and dropped."""
    dtype = PRECISIONS[precision]
    with multiplied_as(precision):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = F.cross_entropy(network(images).float(), classes)
        loss.backward()  # type: ignore[no-untyped-call]
    network.zero_grad(set_to_none=True)
    return loss.item()
