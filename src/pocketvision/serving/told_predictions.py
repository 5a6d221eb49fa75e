"""How predictions become answers in JSON (answers.py says their shapes)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pocketvision.serving.joint_answers import JointPrediction
from pocketvision.serving.problems import problem_of
from pocketvision.serving.question import Question
from pocketvision.serving.served_model import ServedModel, ServedPrediction
from pocketvision.serving.told_maps import told_maps
from pocketvision.tasks.task import Detail
from pocketvision.tasks.wire import prediction


def prediction_answer(
    model: ServedModel, outcomes: list[ServedPrediction | Exception], detail: Detail, request_id: str
) -> dict[str, Any]:
    """A PredictionAnswer. Raises the error of an only image; one image's error among several stands in its place."""
    _raise_only(outcomes)
    return {
        "model": _name(model),
        "predictions": [
            {**_predicted(outcome, detail, request_id), **told_maps(model, outcome, detail)}
            if isinstance(outcome, ServedPrediction)
            else {"problem": problem_of(outcome).document(request_id)}
            for outcome in outcomes
        ],
        "request_id": request_id,
    }


def joint_answer(question: Question, outcomes: list[JointPrediction | Exception], request_id: str) -> dict[str, Any]:
    """The same of several models."""
    _raise_only(outcomes)
    detail = replace(
        question.detail,
        by_task={
            part.called[task]: own
            for part in question.parts
            for task, own in part.detail.by_task.items()
            if task in part.called
        },
    )
    models = [_name(part.model) for part in question.parts]
    return {
        "model": models[0],
        "models": models,
        "predictions": [
            {**_joint(outcome, detail, request_id), **_joint_maps(question, outcome)}
            if isinstance(outcome, JointPrediction)
            else {"problem": problem_of(outcome).document(request_id)}
            for outcome in outcomes
        ],
        "request_id": request_id,
    }


def _raise_only(outcomes: list[Any]) -> None:
    if len(outcomes) == 1 and isinstance(outcomes[0], Exception):
        try:
            raise outcomes[0]
        finally:
            outcomes.clear()  # the error holds its frames; a reference back to it would keep the image in memory


def _name(model: ServedModel) -> dict[str, str]:
    return {"name": model.name, "version": model.version}


def _predicted(predicted: ServedPrediction, detail: Detail, request_id: str) -> dict[str, Any]:
    timing = predicted.timing
    return {
        **prediction(predicted.answers, detail),
        **_problems(predicted.errors, request_id),
        "timings": {**_timings(predicted), "total_ms": _ms(timing.finished - timing.submitted)},
    }


def _joint(joint: JointPrediction, detail: Detail, request_id: str) -> dict[str, Any]:
    parts = {name: _timings(part) for name, part in joint.parts.items() if part is not None}
    told = [part for part in (*joint.parts.values(), joint.then) if part is not None]
    timings = {
        **{name: max(part[name] for part in parts.values()) for name in ("queue_ms", "inference_ms", "batch")},
        "decode_ms": _ms(joint.decoding),
        "total_ms": _ms(max(part.timing.finished for part in told) - min(part.timing.submitted for part in told)),
        "parts": parts,
    }
    if joint.then is not None:
        timings["then"] = {**_timings(joint.then), "things": len(joint.then.each)}
    return {**prediction(joint.answers, detail), **_problems(joint.errors, request_id), "timings": timings}


def _joint_maps(question: Question, joint: JointPrediction) -> dict[str, Any]:
    """Of several models, by the names of the answers."""
    found = {}
    for part in question.parts:
        own = joint.parts.get(part.name)
        if own is not None:
            maps = told_maps(part.model, own, part.detail).get("maps", {})
            found.update({part.called[task]: each for task, each in maps.items() if task in part.called})
    return {"maps": found} if question.detail.map else {}


def _problems(errors: Mapping[str, Exception], request_id: str) -> dict[str, Any]:
    if not errors:
        return {}
    return {"problems": {name: problem_of(error).document(request_id) for name, error in errors.items()}}


def _timings(predicted: ServedPrediction) -> dict[str, Any]:
    """A PartTimings. Where a picture is shared, waiting until another thread had read it is waiting as well."""
    timing, cropping = predicted.timing, predicted.cropping
    waited = 0.0 if cropping is None else max(timing.prepare - cropping, 0.0)
    return {
        "queue_ms": _ms(timing.wait + waited),
        "decode_ms": _ms(timing.prepare - waited),
        "inference_ms": _ms(timing.run),
        "batch": timing.batch,
        "answer_ms": {task: _ms(seconds) for task, seconds in predicted.seconds.items()},
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
