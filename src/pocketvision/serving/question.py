"""What is asked about a picture of one model or several, and of one that looks again at what they found."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pocketvision.errors import UsageError, unknown_name
from pocketvision.runtime.second_look import SecondLook, check_second_look
from pocketvision.serving.models import ServedModels
from pocketvision.serving.problems import refused
from pocketvision.serving.request_options import RequestOptions
from pocketvision.serving.served_model import ServedModel
from pocketvision.tasks.catalog import check_detail, wanted
from pocketvision.tasks.task import Detail


@dataclass(frozen=True, eq=False)
class Part:
    """A model among those that are asked. name: by which it was asked. detail: what of it is wanted. called: the name of each
    wanted task's answer, by the task's."""

    name: str
    model: ServedModel
    detail: Detail
    called: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Question:
    """parts: the models that have something to answer. then: the name of one that looks again at what they find, and how; None
    without one."""

    parts: tuple[Part, ...]
    detail: Detail
    then: str | None = None
    look: SecondLook = SecondLook()  # noqa: RUF009 (frozen)


def question_of(models: ServedModels, options: RequestOptions) -> Question:
    """The question that a request's options ask. Raises UnknownModelError, and a 422 problem for tasks that none of the models
    has, and for a second look at what can not be looked at."""
    if options.models:
        asked = {name: named(models, name) for name in options.models}
    else:
        alone = models.get(options.model, options.version)
        asked = {alone.name: alone}
    if len(set(asked.values())) < len(asked):
        raise refused(422, "invalid-request", f"models has one model twice: {', '.join(asked)}; give each once.")
    called = _called(asked)
    _check_names(options.detail, [*called.values()])
    parts = []
    for name, model in asked.items():
        own = {task: called[name, task] for task in model.tasks}
        detail = _detail_of(options.detail, own)
        if detail.tasks != ():
            parts.append(Part(name, model, detail, {task: own[task] for task in wanted(model.tasks, detail)}))
    if options.detail.map and not any(part.model.maps for part in parts):
        raise refused(422, "no-map", no_map(", ".join(asked)))
    question = Question(tuple(parts), options.detail, options.then, options.look)
    if options.then is not None:
        _check_then(question, named(models, options.then))
    return question


def checked_detail(model: ServedModel, detail: Detail) -> Detail:
    """What is wanted of an only model. Raises a 422 problem for tasks that it does not have."""
    if detail.map and not model.maps:
        raise refused(422, "no-map", no_map(model.name))
    try:
        return check_detail(model.tasks, detail)
    except UsageError as error:
        raise refused(422, "unknown-task", str(error)) from None


def no_map(name: str) -> str:
    """Why a model that is asked for a map gives none, and how to mend it."""
    return f"The model {name} gives no map of where it looks. Add it to its bundle with `pocketvision export BUNDLE --with-map`."


def named(models: ServedModels, text: str) -> ServedModel:
    """The model of NAME or NAME@VERSION. Raises UnknownModelError."""
    name, sign, version = text.rpartition("@")
    if sign and all(model.name != text for model in models.all):
        return models.get(name, version)
    return models.get(text)


def _called(asked: Mapping[str, ServedModel]) -> dict[tuple[str, str], str]:
    """How each model's answers are called: as its task, and MODEL.TASK for each of several that have a task of the name. So it
    goes by what was asked, never by what failed."""
    counts = Counter(task for model in asked.values() for task in model.tasks)
    return {
        (name, task): task if counts[task] == 1 else f"{name}.{task}"
        for name, model in asked.items()
        for task in model.tasks
    }


def _check_names(detail: Detail, called: Sequence[str]) -> None:
    known = list(dict.fromkeys((*called, *map(_bare, called))))
    for name in (*(detail.tasks or ()), *detail.by_task):
        if name not in known:
            raise refused(422, "unknown-task", str(unknown_name("task", name, known)))


def _bare(called: str) -> str:
    """The task's own name: it has no dot."""
    return called.rpartition(".")[2]


def _detail_of(detail: Detail, called: Mapping[str, str]) -> Detail:
    """What is wanted of one model, by its tasks' own names. An answer's whole name says more than the task's."""
    by_task = {
        task: detail.by_task[name]
        for task, answer in called.items()
        for name in (task, answer)
        if name in detail.by_task
    }
    tasks = None if detail.tasks is None else tuple(_chosen(called, detail.tasks))
    return replace(detail, tasks=tasks, by_task=by_task)


def _chosen(called: Mapping[str, str], tasks: Sequence[str]) -> Iterable[str]:
    return (task for task, answer in called.items() if answer in tasks or task in tasks)


def _check_then(question: Question, second: ServedModel) -> None:
    first = {answer: part.model.tasks[task] for part in question.parts for task, answer in part.called.items()}
    try:
        check_second_look(question.look, first, second.tasks)
    except UsageError as error:
        raise refused(422, "invalid-then", str(error)) from None
