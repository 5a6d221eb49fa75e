"""What an evaluation finds beside its figures, where it is asked: slices, robustness, and what averaging over views brings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pocketvision.data.samples import Samples
from pocketvision.evaluation.answering import Pass
from pocketvision.evaluation.evaluation import Evaluation, Further
from pocketvision.evaluation.robustness import robustness_of
from pocketvision.evaluation.slices import slices_of
from pocketvision.evaluation.versus import Versus
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.runtime.chained_predictor import Answering
from pocketvision.tasks.measuring import MeasureOptions

SLICES, ROBUSTNESS, VIEWS = "slices", "robustness", "views"


@dataclass(frozen=True, eq=False)
class ViewsGain:
    """views: that answers were averaged over. runs: of the network for an image. found: A looked once, B at all views."""

    views: tuple[str, ...]
    runs: int
    found: Versus

    @property
    def text(self) -> str:
        """What it brought and cost, in a sentence."""
        once, averaged = self.found.seconds
        told = "; ".join(
            f"{duel.a.metrics.headline.name} {duel.gain:+.2f} points"
            + ("" if duel.interval is None else f" (95 %: {duel.interval.low:+.2f} to {duel.interval.high:+.2f})")
            + ("" if duel.significant else ", which may be chance")
            for duel in self.found.duels.values()
        )
        cost = (
            f"{self.runs} runs an image, {averaged / once:.1f} times as long" if once else f"{self.runs} runs an image"
        )
        return f"Averaged over {', '.join(self.views)}: {told}; {cost}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        once, averaged = self.found.seconds
        return {
            "views": list(self.views),
            "runs": self.runs,
            "seconds_once": once,
            "seconds": averaged,
            "tasks": {
                name: {
                    "figure": duel.a.metrics.headline.name,
                    "once": duel.a.metrics.headline.value,
                    "gain": duel.gain,
                    "interval": None if duel.interval is None else [duel.interval.low, duel.interval.high],
                    "significant": duel.significant,
                }
                for name, duel in self.found.duels.items()
            },
        }


def with_further(
    evaluation: Evaluation,
    predictor: Answering,
    samples: Samples,
    found: Pass,
    options: MeasureOptions,
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    robustness: int = 0,
    max_pixels: int = MAX_PIXELS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """The evaluation with slices by `columns`, of all samples (None: no slices), and with robustness on so many images (0:
    none)."""
    more: dict[str, Further] = dict(evaluation.further)
    if columns is not None:
        told = {name: [values[place] for place in found.places.tolist()] for name, values in columns.items()}
        more[SLICES] = slices_of(evaluation, found, {"path": found.paths(samples), **told}, options)
    if robustness:
        measured = set(evaluation.paths)
        among = np.flatnonzero([path in measured for path in found.paths(samples)])
        more[ROBUSTNESS] = robustness_of(
            predictor, samples, found, options, among, images=robustness, max_pixels=max_pixels, on_progress=on_progress
        )
    return replace(evaluation, further=more)
