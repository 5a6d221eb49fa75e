"""What is wanted of an answer besides its image: of which models and tasks, how much, and what looks again at what was found."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pocketvision.client.values import ModelState


@dataclass(frozen=True)
class Wanted:
    """As a server's options are called; what is left as it is here is the server's to choose.

    models: several that answer about one picture, each NAME or NAME@VERSION. tasks: only these answer. min_score, most, masks,
    mask_form: how much of all answers; details: of single tasks, as in {"detection": {"min_score": 0.4}}. then: a second model
    that looks at each thing found; of: only at those of these classes; margin: with so much of a box's width and height more on
    each side. map: whether answers in JSON have maps of where a class is seen.
    """

    models: Sequence[str] = ()
    tasks: Sequence[str] = ()
    min_score: float | None = None
    most: int | None = None
    masks: bool | None = None
    mask_form: str | None = None
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    then: str | None = None
    of: Sequence[str] = ()
    margin: float | None = None
    map: bool | None = None

    def to_json(self, top_k: int | None, model: str | None, version: str | None) -> dict[str, Any]:
        """The members of a message."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        given = {"top_k": top_k, "model": model, "version": version, **own}
        return {name: _plain(value) for name, value in given.items() if value not in (None, (), [], {})}

    def to_query(self, top_k: int | None, model: str | None, version: str | None) -> dict[str, str]:
        """The same as texts."""
        given = self.to_json(top_k, model, version)
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}


def answer_kinds(models: Mapping[str, ModelState], tasks: Sequence[str]) -> dict[str, str]:
    """The kinds of the answers of models by the names they are asked by, as a server calls the answers: by the task's name,
    MODEL.TASK where several have a task of it. tasks: that are wanted, none for all."""
    counts = Counter(task for model in models.values() for task in model.tasks)
    called = {
        (task if counts[task] == 1 else f"{name}.{task}"): (task, kind)
        for name, model in models.items()
        for task, kind in model.tasks.items()
    }
    return {answer: kind for answer, (task, kind) in called.items() if not tasks or task in tasks or answer in tasks}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
