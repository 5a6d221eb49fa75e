"""Which network to begin with, from data, device and budgets: published accuracy, counted costs, and what was measured here."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.models.catalog import ARCHITECTURES, architecture
from pocketvision.models.cost import cost
from pocketvision.models.measured_latency import MILLISECONDS
from pocketvision.models.published_weights import PUBLISHED_WEIGHTS
from pocketvision.models.spec import Architecture
from pocketvision.models.vit import VisionTransformer
from pocketvision.models.wishes import DEVICES, Device, Wishes

SECONDS_PER_GMAC = 0.23
"""Of a default training, for a picture: with EfficientNet-Lite0 at 224 px it took 291 s for 3,068 pictures on two cores, from the
pictures to the report (benchmarks/README.md, train_speed.py)."""

SMALL_PICTURE = 48
"""Pixels of the longer side, up to which networks for 32 pixels are taken."""

MOST_PARAMETERS = ((1_000, 6e6), (10_000, 10e6), (100_000, 25e6))
"""Up to so many training pictures a network of at most so many parameters: larger ones learn them by heart. The middle row is
EfficientNet-B0 to B2."""

PRICE = {"accurate": 0.5, "real-time": 2.5, "battery": 4.0}
"""Points of top-1 that a doubling of multiply-accumulates has to bring, by goal."""

_PLAIN = ("relu", "relu6")
_DEPTHWISE = 1.0
"""Points that depthwise networks lose on devices that want dense ones, a doubling."""


@dataclass(frozen=True)
class Choice:
    """A network that fits, at an input size. megabytes: of its file in the device's precision. latency: milliseconds on one core
    of the machine that measured_latency.py names, None where it was not measured. minutes: that a training takes about; None
    without a number of pictures. smaller: what a smaller input and a narrower network would cost. warnings: what to mind."""

    model: str
    input_size: int
    precision: str
    parameters: int
    macs: int
    top1: float | None
    megabytes: float
    latency: float | None
    minutes: float | None
    reasons: tuple[str, ...]
    smaller: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def choose(wishes: Wishes, *, most: int = 3) -> tuple[Choice, ...]:
    """At most `most` networks that keep the budgets, the best first. Raises UsageError that says which budget leaves none, and
    what the nearest network takes."""
    device = DEVICES[wishes.device]
    if wishes.picture_size is not None and wishes.picture_size <= SMALL_PICTURE and wishes.size is None:
        names = [name for name, row in ARCHITECTURES.items() if row.input_size <= SMALL_PICTURE]
    else:
        names = [
            name
            for name, own in PUBLISHED_WEIGHTS.items()
            if name in ARCHITECTURES and not name.startswith("tf_") and own[0].top1 is not None
        ]
    every = [_choice(name, wishes, device) for name in names]
    kept = list(every)
    for what, budget, figure in _budgets(wishes, device):
        left = [each for each in kept if figure(each) is None or figure(each) <= budget]
        if not left:
            near = min(kept, key=figure)
            sizes = f"{max(32, near.input_size // 2)},{near.input_size}"
            raise UsageError(
                f"No network keeps {what} of {budget:g}: the nearest is {near.model} with {figure(near):.3g}. A narrower one "
                f"may: pocketvision benchmark {near.model} --width 0.5,0.75 --size {sizes}"
            )
        kept = left
    kept.sort(key=lambda each: _score(each, wishes, device), reverse=True)
    return tuple(kept[:most])


def _budgets(wishes: Wishes, device: Device) -> Sequence[tuple[str, float, Any]]:
    found: list[tuple[str, float, Any]] = []
    if wishes.megabytes is not None:
        found.append(("a file in megabytes", wishes.megabytes, lambda each: each.megabytes))
    if wishes.latency is not None:
        found.append(("milliseconds", wishes.latency, lambda each: _latency(each)))
    if wishes.minutes is not None and wishes.pictures is not None:
        found.append(("minutes of training", wishes.minutes, lambda each: each.minutes))
    found.append(("millions of multiply-accumulates on this device", device.most_macs, lambda each: each.macs / 1e6))
    for pictures, most in MOST_PARAMETERS:
        if wishes.pictures is not None and wishes.pictures <= pictures:
            found.append((f"parameters for {wishes.pictures} pictures", most, lambda each: each.parameters))
            break
    return found


def _latency(each: Choice) -> float:
    """Measured, or by the slowest rate that was."""
    if each.latency is not None:
        return each.latency
    slowest = max(ms / cost(architecture(name), size=size).macs for name, (size, ms) in MILLISECONDS.items())
    return slowest * each.macs


def _score(each: Choice, wishes: Wishes, device: Device) -> float:
    """Points of top-1 less what its cost has to bring."""
    doublings, price = math.log2(max(each.macs, 1) / 1e8), PRICE[wishes.goal]
    row = ARCHITECTURES[each.model]
    depthwise = isinstance(row, Architecture) and any(stage.block in ("separable", "inverted") for stage in row.stages)
    if device.dense and depthwise and row.family not in ("efficientnet_v2",):
        price += _DEPTHWISE
    plain = not isinstance(row, Architecture) or (row.activation in _PLAIN and not _gated(row))
    return (each.top1 or 0.0) - price * doublings - (5.0 if device.plain and not plain else 0.0)


def _gated(row: Architecture) -> bool:
    channels = row.trunk_channels()
    return any(row.squeezed_channels(channels[place], stage) for place, stage in enumerate(row.scaled_stages()))


def _choice(name: str, wishes: Wishes, device: Device) -> Choice:
    row, own = ARCHITECTURES[name], PUBLISHED_WEIGHTS.get(name)
    trained_at = own[0].preprocessing.height if own else row.input_size
    size = wishes.size or trained_at
    counted = cost(row, size=size)
    parameters = counted.parameters
    if wishes.classes is not None:  # the classifier of a thousand goes
        parameters += row.feature_channels() * (wishes.classes - 1000)
    measured = MILLISECONDS.get(name)
    latency = None
    if measured is not None:
        latency = measured[1] * counted.macs / cost(row, size=measured[0]).macs
    minutes = None if wishes.pictures is None else wishes.pictures * counted.macs / 1e9 * SECONDS_PER_GMAC / 60
    top1 = own[0].top1 if own else None
    reasons = [f"{device.reason}: run it in {device.precision}"]
    if top1 is not None:
        reasons.append(f"{top1:.1f} % top-1 on ImageNet (published, at {trained_at} px)")
    reasons.append(
        f"{counted.macs / 1e6:,.0f} M multiply-accumulates at {size} px, {parameters / 1e6:.2f} M parameters"
    )
    if latency is not None:
        reasons.append(f"about {latency:.1f} ms on one core in ONNX Runtime, float32 (measured: docs/choosing.md)")
    return Choice(
        name,
        size,
        device.precision,
        parameters,
        counted.macs,
        top1,
        device.bytes * parameters / 1e6,
        latency,
        minutes,
        tuple(reasons),
        _smaller(name, size, counted.macs),
        tuple(_warnings(wishes, size, trained_at, own is not None)),
    )


def _smaller(name: str, size: int, macs: int) -> str:
    """What three quarters of the resolution cost, and of the width where there is one."""
    row = ARCHITECTURES[name]
    step = row.patch if isinstance(row, VisionTransformer) else 32
    side = max(step, round(0.75 * size / step) * step)
    text = f"at {side} px it costs {cost(row, size=side).macs / macs:.0%}"
    if not isinstance(row, Architecture):
        return text + "; a transformer has no width to cut"
    narrow = cost(replace(row, width=0.75 * row.width), size=size)
    return (
        f"{text}, at three quarters of its width {narrow.macs / macs:.0%} with {narrow.parameters / 1e6:.1f} M parameters: cut "
        "the resolution first while what matters stays large, the width where the file has to shrink"
    )


def _warnings(wishes: Wishes, size: int, trained_at: int, has_weights: bool) -> list[str]:
    found = []
    if has_weights and size != trained_at:
        found.append(
            f"its weights were trained at {trained_at} px, not {size}: let it learn more (phases.2.unfreeze), and expect less "
            "than the published accuracy"
        )
    if not has_weights:
        found.append(
            "no weights of it are published: it learns from a random start (--weights none), which takes thousands of pictures"
        )
    if wishes.picture_size is not None and has_weights and wishes.picture_size < size // 2:
        found.append(
            f"your pictures have {wishes.picture_size} px: at {size} they are only blown up; a smaller --size costs less"
        )
    if wishes.pictures is not None and wishes.classes is not None and wishes.pictures < 20 * wishes.classes:
        found.append(
            f"{wishes.pictures} pictures of {wishes.classes} classes are fewer than 20 each: more pictures come first"
        )
    return found
