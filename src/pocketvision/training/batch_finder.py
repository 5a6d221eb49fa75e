"""The largest batch that a limit of memory allows: twice as many images, step by step, until the next would not fit."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch

from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.training.measuring import seconds_of_step
from pocketvision.training.peak_memory import begin_peak, peak_memory
from pocketvision.training.settings import PhaseSettings


@dataclass(frozen=True)
class BatchTried:
    """images: of a step. memory: the process's peak, in MB of a million bytes. images_per_second: of steps alone."""

    images: int
    memory: float
    images_per_second: float


@dataclass(frozen=True)
class BatchSweep:
    """Of a phase, by its number. limit: in MB. tried: rising; all of them fitted."""

    phase: int
    limit: float
    tried: tuple[BatchTried, ...]

    @property
    def largest(self) -> int:
        """Images."""
        return self.tried[-1].images

    @property
    def fastest(self) -> int:
        """Images."""
        return max(self.tried, key=lambda each: each.images_per_second).images

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "largest": self.largest, "fastest": self.fastest}


def batches_within(
    network: Network,
    settings: PhaseSettings,
    *,
    from_scratch: bool,
    precision: torch.dtype,
    size: tuple[int, int],
    limit: float,
    most: int,
    on_tried: Callable[[BatchTried], None] = lambda _: None,
) -> BatchSweep:
    """Steps of a phase with batches of 2, 4, 8 … images, at most `most`, while a straight line through the last two says that the
    next stays below `limit` MB. A copy learns: the network stays as it is. size: of images, height and width.

    Raises UsageError where two images already need more.
    """
    if settings.solver != "gradient":
        raise UsageError(f"Phase {settings.number} is solved in closed form and has no steps. Give --phase another.")
    tried: list[BatchTried] = []
    images = 2
    while images <= most and (not tried or _next(tried) <= limit):
        begin_peak()
        seconds, _ = seconds_of_step(
            network,
            replace(settings, batch=images),
            from_scratch=from_scratch,
            precision=precision,
            size=size,
            validation=1,
        )
        found = BatchTried(images, peak_memory(), images / seconds)
        if found.memory > limit:
            break
        tried.append(found)
        on_tried(found)
        images *= 2
    if not tried:
        raise UsageError(
            f"A step of two images takes more than {limit / 1000:.3g} GB. Allow more (--memory), or take a smaller size or model."
        )
    return BatchSweep(settings.number, limit, tuple(tried))


def _next(tried: list[BatchTried]) -> float:
    """What twice the images would take: each further one as much as of the last doubling."""
    last = tried[-1]
    return last.memory + 2 * (last.memory - tried[-2].memory) if len(tried) > 1 else last.memory
