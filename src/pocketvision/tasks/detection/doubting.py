"""Doubtful boxes as a table that a person mends, and as pictures."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pocketvision.printable import counted
from pocketvision.tasks.detection.doubts import KINDS, LOOSE, MISSING, NOTHING, RENAMED, BoxDoubt, doubts_of
from pocketvision.tasks.detection.mistakes import DetectionError
from pocketvision.tasks.detection.record import DetectionRecord, record
from pocketvision.tasks.detection.report.pictures import picture
from pocketvision.tasks.doubting import Doubting

_SAID = {
    KINDS[MISSING]: "An object is seen where no label is.",
    KINDS[LOOSE]: "The object is seen, and its box elsewhere.",
    KINDS[RENAMED]: "The object is seen, and called something else.",
    KINDS[NOTHING]: "Nothing is seen there.",
}
_SIDES = ("x1", "y1", "x2", "y2")


def lines(doubts: Sequence[BoxDoubt], records: Sequence[DetectionRecord]) -> tuple[str, ...]:
    """How many are likely wrong, and what could not be judged."""
    labels = sum(each.box is not None for each in doubts)
    likely = Counter(each.kind for each in doubts if each.likely)
    wrong = ", ".join(f"{likely[kind]:,} {kind}" for kind in KINDS[1:])
    boxes = "box" if labels == 1 else "boxes"
    said = f"Of {labels:,} {boxes} {sum(likely.values()) - likely[KINDS[MISSING]]:,} may be wrong ({wrong}), and "
    passed = sum(int(each.there.ignored[0].sum()) for each in records if each.there is not None)
    found = [f"{said}{counted(likely[KINDS[MISSING]], 'object')} may have no box (missing)."]
    if passed:
        found.append(f"Crowds and difficult objects ({passed:,}) are not judged, and not in the table.")
    return tuple(found)


def cells(doubt: BoxDoubt) -> list[object] | None:
    """Of a label all that was said. What is missing has an empty label: nothing is said until a person says it."""
    if doubt.box is None and not doubt.likely:
        return None
    label = [""] * 5 if doubt.box is None else [doubt.name, *_rounded(doubt.box)]
    # The box that is suggested is the answer's; of an object that only has another name it tells little.
    other = None if doubt.kind == KINDS[RENAMED] else doubt.answer_box
    told = doubt.likely and doubt.answer is not None
    suggested = [doubt.answer, *(_rounded(other) if other else [""] * 4)] if told else [""] * 5
    return [*label, doubt.kind if doubt.likely else "", round(doubt.doubt, 4), *suggested]


def shown(path: Path, doubt: BoxDoubt) -> str | None:
    """The label dashed, and the answer that tells."""
    if doubt.box is None:
        assert doubt.answer is not None and doubt.answer_box is not None, "an answer without a label"
        return picture(path, DetectionError(doubt.kind, doubt.answer, doubt.answer_box, doubt.score))
    if doubt.answer is None or doubt.answer_box is None:
        return picture(path, DetectionError(doubt.kind, doubt.name or "", doubt.box))
    return picture(path, DetectionError(doubt.kind, doubt.answer, doubt.answer_box, doubt.score, None, doubt.box))


def _rounded(box: tuple[float, float, float, float]) -> list[float]:
    return [round(side, 2) for side in box]


DOUBTING = Doubting(
    kinds=_SAID,
    look=record,
    judge=doubts_of,
    lines=lines,
    columns=("label", *_SIDES, "problem", "doubt", "suggested", *(f"suggested_{side}" for side in _SIDES)),
    cells=cells,
    whole=True,
    mending="Mend label, x1, y1, x2 and y2; write what is missing into its row, and delete the rows of what is no object",
    picture=shown,
    legend="Red: what the model says. Dashed: the label.",
)
