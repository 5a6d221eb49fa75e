"""Plain (uncached) training steps at 224 pixels, all of the network learning: ours against the plain PyTorch loop and timm's.

    python benchmarks/train_step.py [--models efficientnet_b0 mobilenet_v2] [--batch 8] [--steps 5] [--threads 1]

Every side takes the same batch of random pictures in memory and the same labels, so that steps alone are compared: forward, loss,
backward, update. A round is a step of each side, in turns; a figure is the median over the rounds. Sides:

- ours: what a phase with `unfreeze=-1` does (training/engine.py's update): norms with frozen statistics, folded into their
  convolutions, channels-last, fused AdamW; in float32, bfloat16 and oneDNN's bfloat16 mode.
- plain: torchvision's network as one would write it: training mode, contiguous, AdamW; in float32 and under autocast.
- timm: timm.create_model, channels-last, timm's optimizer factory, as its script's loop has them; in float32 and under autocast.

Ours keeps the statistics of its norms, as every fine-tuning of ours does; both others learn them, as they do by default. That is
part of the difference, and `--learn-statistics` gives ours learning them too, as from a random start. Also the peak memory of a
step of ours with and without gradient checkpointing (Linux).
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.models.catalog import build
from pocketvision.training.inputs import IMAGES
from pocketvision.training.optimizer import make_optimizer
from pocketvision.training.peak_memory import begin_peak, peak_memory
from pocketvision.training.phase_models import part_of
from pocketvision.training.precision import ONEDNN, PRECISIONS, multiplied_as
from pocketvision.training.settings import OptimizerSettings, PhaseSettings
from pocketvision.training.update import update

CLASSES, SIZE, LR = 10, 224, 1e-3
TIMM = {"efficientnet_b0": "efficientnet_b0", "mobilenet_v2": "mobilenetv2_100"}

Step = Callable[[], None]


def main() -> None:
    """Print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=TIMM, default=[*TIMM])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5, help="rounds that are measured, after one that warms up")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--learn-statistics", action="store_true", help="ours as from a random start")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found = {each: measured(each, given.batch, given.steps, scratch=given.learn_statistics) for each in given.models}
    print(json.dumps({"batch": given.batch, "threads": given.threads, **found}, indent=2))


def measured(model: str, batch: int, steps: int, *, scratch: bool) -> dict[str, object]:
    torch.manual_seed(0)
    images = torch.randn(batch, 3, SIZE, SIZE)
    labels = torch.arange(batch) % CLASSES
    sides: dict[str, Step] = {
        f"ours {name}": ours(model, images, labels, name, scratch=scratch) for name in ("float32", "bfloat16", ONEDNN)
    }
    for name in ("float32", "bfloat16"):
        sides[f"plain {name}"] = plain(model, images, labels, PRECISIONS[name])
        sides[f"timm {name}"] = of_timm(model, images, labels, PRECISIONS[name])
    wall, cpu = timed(sides, steps)
    best = min(("bfloat16", ONEDNN), key=lambda name: cpu[f"ours {name}"])
    return {
        "seconds": wall,
        "cpu_seconds": cpu,
        "without_bf16": {other: round(cpu[f"{other} float32"] / cpu["ours float32"], 2) for other in ("plain", "timm")},
        "with_bf16": {
            "ours": best,
            "plain_float32": round(cpu["plain float32"] / cpu[f"ours {best}"], 2),
            "plain_bfloat16": round(cpu["plain bfloat16"] / cpu[f"ours {best}"], 2),
            "timm_bfloat16": round(cpu["timm bfloat16"] / cpu[f"ours {best}"], 2),
        },
        "peak_mb": {
            name: held_alone(model, batch, scratch, again)
            for name, again in (("all_kept", False), ("checkpointing", True))
        },
    }


def timed(sides: dict[str, Step], steps: int) -> tuple[dict[str, float], dict[str, float]]:
    """Medians of wall and processor seconds a step; the sides take turns."""
    wall: dict[str, list[float]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(steps + 1):
        for name, step in sides.items():
            begun, spent = time.perf_counter(), time.process_time()
            step()
            if round_:
                wall[name].append(time.perf_counter() - begun)
                cpu[name].append(time.process_time() - spent)
    return tuple({name: round(median(each), 4) for name, each in found.items()} for found in (wall, cpu))  # type: ignore[return-value]


def held_alone(model: str, batch: int, scratch: bool, checkpointing: bool) -> int:
    """What two of our steps in float32 hold at most beyond what the process held before the first, in MB; in a process of its
    own: memory that another step has left would be taken again."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as alone:
        return round(alone.submit(held, model, batch, scratch, checkpointing).result())


def held(model: str, batch: int, scratch: bool, checkpointing: bool) -> float:
    images, labels = torch.randn(batch, 3, SIZE, SIZE), torch.arange(batch) % CLASSES
    step = ours(model, images, labels, "float32", scratch=scratch, checkpointing=checkpointing)
    begin_peak()
    before = peak_memory()
    step()
    step()
    return peak_memory() - before


def ours(
    model: str, images: Tensor, labels: Tensor, precision: str, *, scratch: bool, checkpointing: bool = False
) -> Step:
    network = build(model, num_classes=CLASSES).to(memory_format=torch.channels_last)
    phase = PhaseSettings(1, 1, LR, unfreeze=len(network.stages) + 1, checkpointing=checkpointing)
    size = (SIZE, SIZE)
    part = part_of(network, phase, from_scratch=scratch, precision=PRECISIONS[precision], size=size)
    part.model.train()
    learned = {name: each for name, each in part.model.named_parameters() if each.requires_grad}
    optimizer = make_optimizer(learned, OptimizerSettings(), lr=LR)
    shown = images.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with multiplied_as(precision):
            update(part.model, {IMAGES: shown}, loss, learned, optimizer, OptimizerSettings())

    def loss(outputs: object) -> Tensor:
        return F.cross_entropy(outputs["classification"]["logits"].float(), labels)  # type: ignore[index]

    return step


def plain(model: str, images: Tensor, labels: Tensor, dtype: torch.dtype) -> Step:
    import torchvision

    network = getattr(torchvision.models, model)(num_classes=CLASSES).train()
    return partial(_written, network, images, labels, dtype, torch.optim.AdamW(network.parameters(), lr=LR))


def of_timm(model: str, images: Tensor, labels: Tensor, dtype: torch.dtype) -> Step:
    import timm
    from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]

    network = timm.create_model(TIMM[model], num_classes=CLASSES).to(memory_format=torch.channels_last).train()
    shown = images.contiguous(memory_format=torch.channels_last)
    return partial(_written, network, shown, labels, dtype, create_optimizer_v2(network, opt="adamw", lr=LR))


def _written(
    network: nn.Module, images: Tensor, labels: Tensor, dtype: torch.dtype, optimizer: torch.optim.Optimizer
) -> None:
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        loss = F.cross_entropy(network(images), labels)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    loss.item()


if __name__ == "__main__":
    main()
