"""How much worse the answers become as pictures do: six corruptions in five severities, on the same images."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.data.samples import Samples
from pocketvision.errors import ImageError, PocketVisionError
from pocketvision.evaluation.answering import Pass
from pocketvision.evaluation.corruptions import CORRUPTIONS, SEVERITIES, Corruption
from pocketvision.preprocessing import MAX_PIXELS, Placement, decode_image
from pocketvision.runtime.chained_predictor import Answering
from pocketvision.statistics import Headline
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.comparing import Answered
from pocketvision.tasks.measuring import MeasureOptions

IMAGES = 200
"""Of more, so many are drawn: each is answered 31 times."""


@dataclass(frozen=True)
class Robustness:
    """images: how many were made worse. clean: by task, the headline on them as they are. worse: by task and corruption, the
    headline at each severity; None where it is undefined. left_out: by corruption, why it was not tried."""

    images: int
    clean: Mapping[str, Headline]
    worse: Mapping[str, Mapping[str, tuple[Headline | None, ...]]]
    left_out: Mapping[str, str]

    @property
    def text(self) -> str:
        """In a sentence: what hurts most."""
        parts = []
        for task, by_name in self.worse.items():
            clean, means = (
                self.clean[task],
                {name: mean for name, each in by_name.items() if (mean := _mean(each)) is not None},
            )
            if not means:
                parts.append(f"{clean.name} {clean.value:.1%} as they are, undefined on all that were made worse")
                continue
            worst = min(means, key=lambda name: means[name])
            parts.append(
                f"{clean.name} {clean.value:.1%} as they are, {np.mean([*means.values()]):.1%} on average of all corruptions; "
                f"{worst} hurts most ({means[worst]:.1%})"
            )
        return f"Robustness on {self.images} images: {'; '.join(parts)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "images": self.images,
            "left_out": dict(self.left_out),
            "tasks": {
                task: {
                    "figure": clean.name,
                    "clean": clean.value,
                    "corruptions": {
                        name: {
                            "strengths": list(CORRUPTIONS[name].strengths),
                            "unit": CORRUPTIONS[name].unit,
                            "values": [None if each is None else each.value for each in found],
                            "intervals": [
                                None
                                if each is None or each.interval is None
                                else [each.interval.low, each.interval.high]
                                for each in found
                            ],
                        }
                        for name, found in self.worse[task].items()
                    },
                }
                for task, clean in self.clean.items()
            },
        }


def robustness_of(
    predictor: Answering,
    samples: Samples,
    found: Pass,
    options: MeasureOptions,
    among: NDArray[np.int64],
    *,
    images: int = IMAGES,
    max_pixels: int = MAX_PIXELS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Robustness:
    """Of the images at the places `among` of those that `found` answered, at most so many, drawn by the options' seed. Raises
    PocketVisionError where the figure of the images as they are is undefined."""
    generator = np.random.default_rng(options.seed)
    chosen = np.sort(generator.permutation(among)[:images])
    finds = any(task_named(task.kind).places is not None for task in found.tasks.values())
    left_out = {
        name: "upright boxes do not fit what was turned" for name, each in CORRUPTIONS.items() if each.turns and finds
    }
    tried = {name: each for name, each in CORRUPTIONS.items() if name not in left_out}
    clean = _headlines(
        {task: [found.answered.records[task][row] for row in chosen.tolist()] for task in found.tasks}, found, options
    )
    if missing := [task for task, each in clean.items() if each is None]:
        raise PocketVisionError(f"On these images nothing can be measured for {', '.join(missing)}.")
    worse: dict[str, dict[str, list[Headline | None]]] = {task: {name: [] for name in tried} for task in found.tasks}
    done, total = 0, len(tried) * SEVERITIES
    for name, corruption in tried.items():
        for severity in range(SEVERITIES):
            records = _answers(
                predictor, samples, found, chosen.tolist(), corruption, severity, options.seed, max_pixels
            )
            for task, headline in _headlines(records, found, options).items():
                worse[task][name].append(headline)
            done += 1
            if on_progress is not None:
                on_progress(done, total)
    return Robustness(
        len(chosen),
        {task: each for task, each in clean.items() if each is not None},
        {task: {name: tuple(each) for name, each in own.items()} for task, own in worse.items()},
        left_out,
    )


def _answers(
    predictor: Answering,
    samples: Samples,
    found: Pass,
    rows: list[int],
    corruption: Corruption,
    severity: int,
    seed: int,
    max_pixels: int,
) -> dict[str, list[Any]]:
    """The records of the corrupted images, whose truth goes along."""
    size, kept = predictor.bundle.preprocessing, Answered.nothing_of(found.tasks)
    placements: list[Placement] = []

    def made() -> Iterator[Image.Image]:
        for row in rows:
            path = samples.file(int(found.places[row]))
            decoded = decode_image(
                path, max_pixels=max_pixels, shortest_side=max(size.width, size.height), white_level=size.white_level
            )
            generator = np.random.default_rng((seed, row))
            image, matrix = corruption.make(decoded.image, corruption.strengths[severity], generator)
            placements.append(decoded.placement.then(matrix, image.size))
            yield image

    for place, result in enumerate(predictor.stream(made(), max_pixels=max_pixels)):
        if result.error is not None:
            raise ImageError(samples.paths[int(found.places[rows[place]])], result.error)
        index = int(found.places[rows[place]])
        truth = {
            task: each.through(index, placements[place]) for task, each in found.truth.items() if each.present[index]
        }
        absent = {task: each for task, each in found.truth.items() if task not in truth}
        kept.add(
            {task: each for task, each in found.tasks.items() if task in truth},
            result.outputs,
            result.answers,
            truth,
            0,
        )
        for task in absent:
            kept.records[task].append(None)
    return kept.records


def _headlines(records: Mapping[str, list[Any]], found: Pass, options: MeasureOptions) -> dict[str, Headline | None]:
    headlines: dict[str, Headline | None] = {}
    for task, manifest in found.tasks.items():
        own = [each for each in records[task] if each is not None]
        try:
            headlines[task] = task_named(manifest.kind).measuring().measure(own, manifest, options).headline
        except PocketVisionError:
            headlines[task] = None
    return headlines


def _mean(found: tuple[Headline | None, ...]) -> float | None:
    """Of the severities at which it is defined; None where it is at none."""
    told = [each.value for each in found if each is not None]
    return float(np.mean(told)) if told else None
