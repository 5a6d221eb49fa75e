"""Several processes that train together: the first does the verb, and the others take part in what it trains."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import ParamSpec

from pocketvision.training.added_heads import Base
from pocketvision.training.fitting import SharedFit
from pocketvision.training.processes import Processes, joined
from pocketvision.workflows.pretrained import open_bundle
from pocketvision.workflows.training_run import TrainResult

Given = ParamSpec("Given")


def by_all_processes(verb: Callable[Given, TrainResult]) -> Callable[Given, TrainResult]:
    """The verb, for a process that may be one of several (training/processes.py). The others than the first get its result,
    without the evaluations."""

    @wraps(verb)
    def run(*given: Given.args, **named: Given.kwargs) -> TrainResult:
        with joined() as processes:
            if not processes.is_first:
                return _follow(processes)
            result = verb(*given, **named)
            processes.from_first(lambda: replace(result, evaluations=()))
            return result

    return run


def _follow(processes: Processes) -> TrainResult:
    """Do what the first process asks for until it has a result."""

    def nothing() -> SharedFit | TrainResult:
        raise ValueError("the first process tells")

    while isinstance(told := processes.from_first(nothing), SharedFit):
        told.fit(None if told.settings.add_to is None else Base.of(open_bundle(told.settings.add_to)))
    return told
