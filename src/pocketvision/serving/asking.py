"""Images and a request's options to an answer in JSON: the one way, over HTTP as over WebSockets."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from pocketvision.serving.batching import QueueFullError
from pocketvision.serving.joint_answers import JointPrediction, joint_prediction
from pocketvision.serving.question import checked_detail, question_of
from pocketvision.serving.request_options import RequestOptions
from pocketvision.serving.service import Service
from pocketvision.serving.told_predictions import joint_answer, prediction_answer


async def asked(service: Service, images: Sequence[bytes], options: RequestOptions, request_id: str) -> dict[str, Any]:
    """The answer to image files. Raises the error of an only image, and what is wrong with the options."""
    deadline = time.monotonic() + service.settings.deadline
    if options.several:
        return await _asked_several(service, images, options, request_id, deadline)
    model = service.models.get(options.model, options.version)
    detail = checked_detail(model, options.detail)
    return prediction_answer(model, await model.predict(images, detail, deadline=deadline), detail, request_id)


async def _asked_several(
    service: Service, images: Sequence[bytes], options: RequestOptions, request_id: str, deadline: float
) -> dict[str, Any]:
    question = question_of(service.models, options)
    found = await asyncio.gather(
        *(
            joint_prediction(service.models, question, image, service.settings, service.pictures, deadline)
            for image in images
        ),
        return_exceptions=True,
    )
    outcomes: list[JointPrediction | Exception] = []
    for each in found:
        if isinstance(each, BaseException) and not isinstance(each, Exception):
            raise each
        outcomes.append(each)
    del found
    return joint_answer(question, outcomes, request_id)


def check_options(service: Service, options: RequestOptions) -> None:
    """Raise what is wrong with options: an unknown model or task, a second look at what can not be looked at."""
    if options.several:
        question_of(service.models, options)
    else:
        checked_detail(service.models.get(options.model, options.version), options.detail)


def check_room(service: Service, options: RequestOptions) -> None:
    """Refuse what can not be answered before its images are read: wrong options, full queues. A body may name another model where
    several are served and the options name none."""
    if options.several:
        models = [part.model for part in question_of(service.models, options).parts]
    else:
        models = [service.models.get(options.model, options.version)]
        if options.model is None and len(service.models.all) > 1:
            return
        checked_detail(models[0], options.detail)
    for place, model in enumerate(models):
        try:
            model.batcher.check_room(1)
            return
        except QueueFullError:  # the others may have room
            if place == len(models) - 1:
                raise
