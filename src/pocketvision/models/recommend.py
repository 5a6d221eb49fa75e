"""recommend: which architecture, input size and number format to begin with, and why."""

from dataclasses import asdict, dataclass
from typing import Any

from pocketvision.errors import unknown_name
from pocketvision.models.summary import ModelSummary, summary

TARGETS = ("cpu", "gpu", "phone")
GOALS = ("real-time", "accurate", "battery")


@dataclass(frozen=True)
class Recommendation:
    """A row to begin with. `precision` is what to run it in on that target; `reason` says why in a sentence or two."""

    target: str
    goal: str
    model: str
    input_size: int
    precision: str
    reason: str
    summary: ModelSummary

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "summary": self.summary.to_dict()}


# Target and goal → model, input size (None: the row's own), precision, reason. Judgements from published figures;
# `models compare --measure` is how to check one on a CPU.
_ADVICE: dict[tuple[str, str], tuple[str, int | None, str, str]] = {
    ("cpu", "real-time"): (
        "mobilenet_v3_large",
        None,
        "int8",
        "Fewest multiply-accumulates for over 75 % top-1; its depthwise layers fit a CPU's caches.",
    ),
    ("cpu", "accurate"): (
        "efficientnet_b2",
        None,
        "float32",
        "Under 1.1 G multiply-accumulates for over 80 % top-1; B3 takes 1.8 times as many for the next point and a half.",
    ),
    ("cpu", "battery"): (
        "efficientnet_lite0",
        None,
        "int8",
        "Made for int8: ReLU6 bounds what has to be quantized, and its authors lost 0.7 points by it.",
    ),
    ("gpu", "real-time"): (
        "efficientnet_v2_b0",
        None,
        "float16",
        "Fused blocks keep a GPU's matrix units busy; depthwise ones of the older families leave them waiting for memory.",
    ),
    ("gpu", "accurate"): (
        "efficientnet_v2_s",
        None,
        "float16",
        "B7's accuracy with a third of its parameters and a quarter of its multiply-accumulates, in fused blocks.",
    ),
    ("gpu", "battery"): (
        "efficientnet_v2_b0",
        192,
        "float16",
        "A smaller input costs quadratically less; at 192 pixels V2-B0 needs a quarter less than at 224.",
    ),
    ("phone", "real-time"): (
        "mobilenet_v3_small",
        None,
        "int8",
        "Under 60 M multiply-accumulates: several frames fit between two of the camera's.",
    ),
    ("phone", "accurate"): (
        "efficientnet_lite2",
        None,
        "int8",
        "Lite leaves out what phones' accelerators do not run, so all of it stays on the accelerator.",
    ),
    ("phone", "battery"): (
        "mobilenet_v3_small_minimalistic",
        None,
        "int8",
        "Only 3x3 kernels and ReLU: nothing falls back to the processor, which is what drains a battery.",
    ),
}


def recommend(target: str, goal: str) -> Recommendation:
    """What to begin with on `target` (cpu, gpu, phone) for `goal` (real-time, accurate, battery). UsageError for others."""
    if target not in TARGETS:
        raise unknown_name("target", target, TARGETS)
    if goal not in GOALS:
        raise unknown_name("goal", goal, GOALS)
    model, size, precision, reason = _ADVICE[target, goal]
    line = summary(model)
    return Recommendation(target, goal, model, size or line.input_size, precision, reason, line)
