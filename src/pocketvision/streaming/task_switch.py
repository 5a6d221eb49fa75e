"""Which tasks of a running stream answer: switched on and off from any thread while it runs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.runtime.chained_predictor import Answering
from pocketvision.streaming.frame import Pixels
from pocketvision.tasks.catalog import Answers
from pocketvision.tasks.details import details_from
from pocketvision.tasks.task import Detail

logger = logging.getLogger(__name__)


class TaskSwitch:
    """`switch.set(tasks=["detection"])`: from the next frame on these alone answer; the others cost nothing."""

    def __init__(self) -> None:
        self._whole: Answering | None = None
        self._current: Answering | None = None
        self._set: tuple[Sequence[str] | None, Mapping[str, Mapping[str, Any]]] = (None, {})

    def set(self, tasks: Sequence[str] | None = None, details: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """tasks: those that answer, None for all that the stream began with. details: as in {"detection": {"min_score": 0.4}}.
        Raises UsageError for what the bundle does not have; nothing is changed then."""
        wanted = tasks, details or {}
        if self._whole is not None:
            self._current = _wanting(self._whole, *wanted)
        self._set = wanted

    def take(self, options: Mapping[str, Any]) -> None:
        """What a server's viewer has asked for: `tasks` and `details`, each or none. What can not be is told in the log."""
        tasks = options.get("tasks")
        try:
            if tasks is not None and not (isinstance(tasks, list) and all(isinstance(each, str) for each in tasks)):
                raise UsageError("tasks must be a list of tasks' names")
            self.set(tasks, options.get("details"))
        except UsageError as error:
            logger.warning("A viewer's options are not followed: %s", error)

    def answering(self, predictor: Answering) -> "TaskSwitch":
        """Itself, for the frames of a stream that `predictor` answers. Raises UsageError for what was set before and is not
        there."""
        self._whole, self._current = predictor, _wanting(predictor, *self._set)
        return self

    @property
    def detail(self) -> Detail:
        """What is wanted now."""
        assert self._current is not None
        return self._current.detail

    def __call__(self, pixels: Pixels) -> Answers:
        """The answers about a frame."""
        assert self._current is not None
        return self._current.answers(pixels)


def _wanting(predictor: Answering, tasks: Sequence[str] | None, details: Mapping[str, Mapping[str, Any]]) -> Answering:
    if tasks is None and not details:
        return predictor
    own = details_from(details, predictor.detail)
    chosen = predictor.detail.tasks if tasks is None else tuple(tasks)
    return predictor.wanting(replace(predictor.detail, tasks=chosen, by_task={**predictor.detail.by_task, **own}))
