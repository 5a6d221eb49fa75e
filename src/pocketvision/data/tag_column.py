"""A label column of tags: any number of names a row, as a list or with a sign between them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pocketvision.data.class_column import LONGEST_LABEL
from pocketvision.data.class_names import ordered_class_names
from pocketvision.data.several_labels import SIGNS, listed, unusual_sign
from pocketvision.data.table_rows import TableRow
from pocketvision.errors import UsageError
from pocketvision.printable import quoted
from pocketvision.tasks.tags.truth import TAGS, TagLabels
from pocketvision.tasks.truth import Truth


class TagColumn:
    """table: what the rows come from, for messages. column: its name."""

    def __init__(self, table: Path, column: str) -> None:
        self._table, self._column = table, column
        self._texts: list[str] = []
        self._places: dict[str, str] = {}

    def add(self, row: TableRow) -> None:
        """A text is kept as it is: what stands between tags is known once all rows are."""
        if not row.label.strip():
            raise UsageError(
                f"{self._where(row.place)} is empty. Write [] where an image has no tag, or remove the row where nobody looked."
            )
        self._places.setdefault(row.label, row.place)
        self._texts.append(row.label)

    def truth(self, labels: Sequence[str] | None, training: Sequence[int] | None) -> dict[str, Truth]:
        """Raises UsageError for tags that are empty or too long, a sign between tags that is not known, names that are not among
        `labels`, and for what `tag_truth` refuses."""
        sign = next(
            (each for each in SIGNS if any(each in text for text in self._places if listed(text) is None)), None
        )
        tags = {text: self._tags(text, sign) for text in self._places}
        self._refuse_unusual(tags)
        return tag_truth(str(self._table), [tags[text] for text in self._texts], labels, training)

    def _tags(self, text: str, sign: str | None) -> tuple[str, ...]:
        found = listed(text)
        if found is None:
            found = text.split(sign) if sign is not None else [text]
        names = [name.strip() for name in found]
        where = self._where(self._places[text])
        if not all(names):
            raise UsageError(f"{where} has an empty tag: {quoted(text)}. Remove the sign before or after it.")
        longest = max(map(len, names), default=0)
        if longest > LONGEST_LABEL:
            raise UsageError(f"{where} has a tag of {longest:,} characters; expected at most {LONGEST_LABEL}.")
        return tuple(dict.fromkeys(names))

    def _refuse_unusual(self, tags: Mapping[str, Sequence[str]]) -> None:
        """A hint where texts look as if something else stood between their tags."""
        found = unusual_sign({name for each in tags.values() for name in each})
        if found is None:
            return
        sign, name = found
        text = next(text for text, each in tags.items() if name in each)
        raise UsageError(
            f"{self._where(self._places[text])} holds {quoted(text)}: {sign} seems to stand between tags, as both "
            f"parts are tags of "
            f"other rows. Write {' or '.join(SIGNS[:2])} between them, or a list such as {json.dumps(['a', 'b'])}. If "
            f"it is one tag, "
            "list all tags with --labels."
        )

    def _where(self, place: str) -> str:
        return f"{self._table}, {place}: the column {quoted(self._column)}"


def tag_truth(
    where: str, rows: Sequence[Sequence[str]], labels: Sequence[str] | None, training: Sequence[int] | None
) -> dict[str, Truth]:
    """From the names of each image's tags, with `labels` and `training` as in LabelColumn. Raises UsageError where there is no
    tag at all, for names that are not among `labels` (or, without them, on no training image), and for a tag that is on every
    image that is learned from: with labels and without splits they may be images to measure on."""
    found, given = dict.fromkeys(name for row in rows for name in row), labels
    if labels is None and training is not None:
        learned = dict.fromkeys(name for place in training for name in rows[place])
        labels = ordered_class_names(list(learned or found), None, where)
    names = ordered_class_names(list(found), labels, where)
    if not names or not found:
        raise UsageError(f"{where}: none of its {len(rows):,} images has any tag, so there is nothing to learn.")
    place_of = {name: place for place, name in enumerate(names)}
    truth = TagLabels.of([[place_of[name] for name in row] for row in rows], names)
    if given is None or training is not None:
        _refuse_everywhere(where, truth, training)
    return {TAGS: truth}


def _refuse_everywhere(where: str, truth: TagLabels, training: Sequence[int] | None) -> None:
    learned = truth if training is None else truth.select(np.asarray(training, np.int64))
    for name, count in zip(truth.class_names, learned.class_counts().tolist(), strict=True):
        if count == len(learned) > 1:
            split = "" if training is None else " of the training split"
            raise UsageError(
                f"{where}: the tag {quoted(name)} is on every image{split}, so there is nothing to tell apart. Remove it, or add "
                "images without it."
            )
