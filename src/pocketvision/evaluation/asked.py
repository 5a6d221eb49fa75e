"""An evaluation with what was asked for beside its figures: views, slices, robustness."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pocketvision.data.learned_from import Matches
from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError
from pocketvision.evaluation.answering import answer_all
from pocketvision.evaluation.evaluate import evaluate_pass
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.evaluation.further import VIEWS, ViewsGain, with_further
from pocketvision.evaluation.overlap import Role
from pocketvision.evaluation.robustness import IMAGES
from pocketvision.evaluation.versus import compare_passes
from pocketvision.progress import Counted, OnEvent
from pocketvision.runtime.averaged_predictor import AveragedPredictor
from pocketvision.runtime.chained_predictor import Answering
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.measuring import MeasureOptions


@dataclass(frozen=True)
class Asked:
    """See evaluate_pass."""

    name: str
    role: Role
    matches: Matches | None
    options: MeasureOptions


@dataclass(frozen=True)
class Reading:
    """See Predictor.stream."""

    batch: int
    workers: int | None
    max_pixels: int


def measured(
    predictor: Answering,
    samples: Samples,
    averaged: AveragedPredictor | None,
    columns: Mapping[str, Sequence[str]] | None,
    robustness: bool,
    asked: Asked,
    reading: Reading,
    on_progress: Callable[[int, int], None] | None,
    on_event: OnEvent,
) -> Evaluation:
    """The figures, and what was asked for beside them. averaged: answers instead of `predictor`, and is held against it."""
    told, once = vars(reading), None
    if averaged is not None:
        once = answer_all(
            predictor, samples, **told, on_progress=lambda done, total: on_event(Counted("once", done, total))
        )
        predictor = averaged
    found = answer_all(predictor, samples, **told, on_progress=on_progress)
    evaluation = evaluate_pass(
        found, samples, name=asked.name, role=asked.role, matches=asked.matches, options=asked.options
    )
    if averaged is not None and once is not None:
        gain = compare_passes(("once", "averaged"), (once, found), samples, seen=[asked.matches], options=asked.options)
        views = ViewsGain(averaged.views, averaged.runs, gain)
        evaluation = replace(evaluation, further={VIEWS: views})
    return with_further(
        evaluation,
        predictor,
        samples,
        found,
        asked.options,
        columns=columns,
        robustness=IMAGES if robustness else 0,
        max_pixels=reading.max_pixels,
        on_progress=lambda done, total: on_event(Counted("robustness", done, total)),
    )


def averaging(predictor: Answering, views: Sequence[str]) -> AveragedPredictor:
    """Its answers averaged over views (turning.VIEWS). Raises UsageError as AveragedPredictor does, and for a server or two
    models."""
    if not isinstance(predictor, Predictor):
        raise UsageError(
            f"--tta runs the network of a bundle itself, not through {predictor.backend}. Give the bundle."
        )
    return AveragedPredictor(predictor, views)
