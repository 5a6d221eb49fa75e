"""What is said of pictures that are handed over from Python: which kind of task it is for, and each value as a table's text."""

import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.data.class_column import ClassColumn
from pocketvision.data.label_columns import LabelColumn
from pocketvision.data.number_column import NumberColumn
from pocketvision.data.samples import Samples
from pocketvision.data.tag_column import TagColumn
from pocketvision.errors import UsageError, unknown_name
from pocketvision.printable import quoted
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.tasks.number.truth import NUMBER, NumberLabels
from pocketvision.tasks.tags.truth import TAGS, TagLabels

Names = Sequence[str] | None


@dataclass(frozen=True)
class Values:
    """A kind's row. column: takes the texts. text: of a value, with the names that numbers stand for (None where a number is
    itself a name), and where it is; UsageError for one that does not fit. cell: the text of an image that was read. named:
    whether its values may be numbers of names."""

    column: Callable[[Path], LabelColumn]
    text: Callable[[Any, Names, str], str]
    cell: Callable[[Samples, int], str]
    named: bool = True


def kind_of(truth: Any) -> str:
    """What a picture's truth is for: several names or marks are tags, a number with decimals is a number, all else is a class."""
    if isinstance(truth, list | tuple | set | frozenset) or (isinstance(truth, np.ndarray) and truth.ndim == 1):
        return TAGS
    if isinstance(truth, float | np.floating):
        return NUMBER
    return CLASSIFICATION


def values_of(kind: str) -> Values:
    """Raises UsageError for a kind whose truth only files hold."""
    if kind not in VALUES:
        raise unknown_name("kind of task for data from Python", kind, VALUES)
    return VALUES[kind]


def _class(truth: Any, names: Names, where: str, kind: str = CLASSIFICATION) -> str:
    if isinstance(truth, np.bool_):
        truth = bool(truth)
    if isinstance(truth, str) or (isinstance(truth, bool) and names is None):
        return str(truth)
    try:
        number = operator.index(truth)
    except TypeError as error:
        raise UsageError(
            f"{where}: its truth, {quoted(truth)} of the type {type(truth).__name__}, does not fit {kind}: "
            "expected the name of a class, or its number."
        ) from error
    if names is None:
        return str(number)
    if not 0 <= number < len(names):
        raise UsageError(f"{where}: its truth is class {number}, and there are {len(names)} classes from 0 on.")
    return names[number]


def _tags(truth: Any, names: Names, where: str) -> str:
    if not isinstance(truth, list | tuple | set | frozenset | np.ndarray):
        raise UsageError(
            f"{where}: its truth is {quoted(truth)}; expected a list with the names of its tags, empty for none."
        )
    if isinstance(truth, np.ndarray) and truth.dtype.kind in "biuf" and names is not None:
        return json.dumps(_marked(truth, names, where))
    members = sorted(truth) if isinstance(truth, set | frozenset) else list(truth)
    return json.dumps([_class(each, names, where, TAGS) for each in members])


def _marked(marks: "np.ndarray[Any, Any]", names: Sequence[str], where: str) -> list[str]:
    if marks.shape != (len(names),) or not np.isin(marks, (0, 1)).all():
        raise UsageError(
            f"{where}: its truth is {quoted(marks)}; expected {len(names)} numbers, 1 for each tag it has, else 0."
        )
    return [names[place] for place in np.flatnonzero(marks).tolist()]


def _number(truth: Any, names: Names, where: str) -> str:
    del names
    if not isinstance(truth, Real | np.number) or isinstance(truth, bool):
        raise UsageError(f"{where}: its truth, {quoted(truth)} of the type {type(truth).__name__}, is no number.")
    return repr(float(truth))


def _tag_cell(samples: Samples, index: int) -> str:
    truth = samples.truth[TAGS]
    assert isinstance(truth, TagLabels), "the kind's own"
    return json.dumps([truth.class_names[place] for place in np.flatnonzero(truth.marks[index]).tolist()])


def _number_cell(samples: Samples, index: int) -> str:
    truth = samples.truth[NUMBER]
    assert isinstance(truth, NumberLabels), "the kind's own"
    return repr(float(truth.values[index]))


VALUES: dict[str, Values] = {
    CLASSIFICATION: Values(ClassColumn, _class, Samples.class_name),
    TAGS: Values(lambda table: TagColumn(table, "labels"), _tags, _tag_cell),
    NUMBER: Values(lambda table: NumberColumn(table, "labels"), _number, _number_cell, named=False),
}
"""By kind of task."""
