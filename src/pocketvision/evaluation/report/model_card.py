"""A model card in Hugging Face's format: Markdown with what machines read in front, as YAML (their `model-index` of results)."""

from collections.abc import Iterator, Mapping
from typing import Any

from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.evaluation.report.record import RunRecord
from pocketvision.json_text import json_text
from pocketvision.printable import printable

CARD = "MODEL_CARD.md"

_PIPELINES = {
    "classification": "image-classification",
    "tags": "image-classification",
    "number": "image-feature-extraction",
    "detection": "object-detection",
    "segmentation": "image-segmentation",
}
_NAMED = 50
_FIGURES_TOLD = 16
_NOT_FIGURES = ("images", "objects", "pixels", "mistake_count")


def model_card(record: RunRecord) -> str:
    """What the model is, how it was measured, and where it errs. Written to be filled in where only a person knows."""
    return "\n".join([*_front(record), *_body(record), ""])


def _front(record: RunRecord) -> Iterator[str]:
    kinds = list(dict.fromkeys(each.task.kind for each in record.main.tasks.values()))
    yield "---"
    yield "library_name: pocketvision"
    yield f"pipeline_tag: {_PIPELINES.get(kinds[0], 'other')}"
    yield "tags:"
    yield from (f"- {tag}" for tag in ("pocketvision", "onnx", *kinds))
    if record.model:
        yield f"# architecture: {printable(record.model)}"
    yield "model-index:"
    yield f"- name: {_text(record.title)}"
    yield "  results:"
    for evaluation in record.led:
        for name, measured in evaluation.tasks.items():
            yield "  - task:"
            yield f"      type: {_PIPELINES.get(measured.task.kind, 'other')}"
            yield "    dataset:"
            yield f"      name: {_text(record.title)}"
            yield f"      type: {_text(record.title)}"
            yield f"      split: {_text(evaluation.name)}"
            yield "    metrics:"
            for figure, value in _figures(measured.metrics.to_dict()).items():
                yield f"    - type: {_text(figure.lower())}"
                yield f"      name: {_text(figure if len(evaluation.tasks) == 1 else f'{name} {figure}')}"
                yield f"      value: {value:.6g}"
    yield "---"


def _body(record: RunRecord) -> Iterator[str]:
    yield f"\n# {printable(record.title)}\n"
    model = f"`{printable(record.model)}`" if record.model else "A network"
    yield f"{model} by PocketVision, measured {record.created[:10]}."
    for name, measured in record.main.tasks.items():
        labels = measured.task.labels
        if labels:
            more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
            yield f"\n**{name}** ({measured.task.kind}): {', '.join(map(printable, labels[:_NAMED]))}{more}."
    yield "\n## How good it is\n"
    yield "| images | task | figure | value | 95 % |\n|---|---|---|---|---|"
    for evaluation in record.led:
        yield from _rows(evaluation)
    if record.command:
        yield f"\nThe figures are repeated by:\n\n```sh\n{record.command}\n```"
    yield "\n## Where it errs\n"
    for name, measured in record.main.tasks.items():
        yield f"- {name}: {len(measured.mistakes):,} of {measured.metrics.images:,} images have mistakes."
        if measured.undefined:
            yield f"- {name}: nothing is known of {', '.join(map(printable, measured.undefined))}: no image has them."
    yield from (f"- {each.text}." for each in record.main.further.values())
    yield "\n## What it is for\n\nNot said yet: who should use it for what, and what it must not be used for."
    yield "\n## Licence and data\n\nNot said yet: the licence of the weights, and where the images come from."


def _rows(evaluation: Evaluation) -> Iterator[str]:
    for name, measured in evaluation.tasks.items():
        told = measured.metrics.to_dict()
        for figure, value in _figures(told).items():
            bounds = told.get("intervals", {}).get(figure)
            interval = "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"
            where = f"{printable(evaluation.name)}, {evaluation.word}"
            yield f"| {where} ({measured.metrics.images:,}) | {name} | {figure} | {value:.3f} | {interval} |"


def _figures(told: Mapping[str, Any]) -> dict[str, float]:
    """The first of its figures that are plain numbers."""
    numbers = {
        name: float(value)
        for name, value in told.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in _NOT_FIGURES
    }
    return dict(list(numbers.items())[:_FIGURES_TOLD])


def _text(value: str) -> str:
    """As YAML reads it: a JSON string is one."""
    return json_text(printable(value))
