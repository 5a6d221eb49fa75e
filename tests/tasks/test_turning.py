import numpy as np
import pytest

from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.fusion import averaged as fused_views
from pocketvision.tasks.detection.fusion import fused
from pocketvision.tasks.manifest import MIRROR, TaskManifest
from pocketvision.tasks.segmentation.averaging import averaged as averaged_masks
from pocketvision.tasks.task import Detail
from pocketvision.tasks.turning import PLAIN, Turn, View, check_views, turns_of

TURNS = [Turn(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]


@pytest.mark.parametrize("turn", TURNS)
def test_what_is_said_of_turned_pixels_comes_back(turn: Turn) -> None:
    """A box of ones in an input of 6 x 4 is where it was, as pixels and as a box."""
    pixels = np.zeros((1, 4, 6), np.float32)
    pixels[:, 1:3, 0:2] = 1
    turned = turn.turned(pixels)
    assert (turn.back(turned) == pixels).all()
    rows, columns = np.nonzero(turned[0])
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    assert turn.boxes_back(box, (6, 4)).tolist() == [[0, 1, 2, 3]]


def test_views_are_each_looked_at_once() -> None:
    assert turns_of(["hflip", "vflip", "rot90"]) == [PLAIN, Turn(0, True), Turn(2, True), Turn(1), Turn(2), Turn(3)]
    assert turns_of(["scale"]) == [PLAIN]


def _task(*labels: str, **postprocessing: object) -> dict[str, TaskManifest]:
    return {"task": TaskManifest("classification", labels, {}, postprocessing=postprocessing)}


@pytest.mark.parametrize(
    ("views", "tasks", "size", "said"),
    [
        (("hflop",), _task("a", "b"), (8, 8), "hflip"),
        (("rot90",), _task("a", "b"), (8, 6), "square"),
        (("hflip",), _task("hand left", "hand right"), (8, 8), "'hand left' from 'hand right'"),
        (("rot90",), _task("6", "9"), (8, 8), "'6' from '9'"),
        (("vflip",), _task("arrow_up", "arrow_down"), (8, 8), "arrow_up"),
        (("hflip",), _task("a", "b", **{MIRROR: False}), (8, 8), r"augment\.flip=0"),
    ],
)
def test_views_that_change_the_answer_are_refused(
    views: tuple[str, ...], tasks: dict[str, TaskManifest], size: tuple[int, int], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        check_views(views, tasks, size)


def test_views_that_change_nothing_are_taken() -> None:
    check_views(("hflip", "vflip", "scale", "five_crop"), _task("left over", "fresh"), (8, 6))
    check_views(("hflip",), _task("6", "9"), (8, 8))


def test_boxes_of_several_views_are_one_by_their_scores() -> None:
    """Solovyev et al.: the mean by scores; a score falls where a view that shows the place does not say it."""
    whole = np.array([0.0, 0, 10, 10])

    def told(*objects: tuple[float, float, float, float, float]) -> Detections:
        rows = np.array(objects).reshape(-1, 5)
        return Detections(("a",), rows[:, :4], rows[:, 4], np.zeros(len(rows), np.int64), size=(10, 10))

    boxes, scores, _ = fused([told((0, 0, 4, 4, 0.9)), told((0, 0, 4, 5, 0.3), (6, 6, 9, 9, 0.8))], [whole, whole])
    assert boxes == pytest.approx(np.array([[0, 0, 4, (0.9 * 4 + 0.3 * 5) / 1.2], [6, 6, 9, 9]]))
    assert scores == pytest.approx([0.6, 0.4])
    _, alone, _ = fused([told(), told((6, 6, 9, 9, 0.8))], [np.array([0.0, 0, 5, 5]), whole])
    assert alone == pytest.approx([0.8])  # the first view does not show it
    assert len(fused([told(), told()], [whole, whole])[0]) == 0


def test_a_detector_that_sees_the_same_in_all_turns_says_it_once() -> None:
    task = TaskManifest("detection", ("a", "b"), {"boxes": "boxes", "scores": "scores"})
    placement = Placement((16, 16), np.diag([0.5, 0.5, 1]), (8, 8))
    views = []
    for turn in TURNS:
        pixels = np.zeros((1, 8, 8), np.float32)
        pixels[:, 1:3, 0:4] = 1
        rows, columns = np.nonzero(turn.turned(pixels)[0])
        box = np.array([[[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]], np.float32)
        views.append(View({"boxes": box, "scores": np.array([[[0.1, 0.8]]], np.float32)}, placement, turn))
    found = fused_views(views, task, Detail())
    assert found.boxes.tolist() == [[0, 2, 8, 6]] and found.classes.tolist() == [1]
    assert found.scores == pytest.approx([0.8])


def test_masks_of_all_turns_and_parts_are_one() -> None:
    task = TaskManifest("segmentation", ("a", "b"), {"logits": "logits"})
    logits = np.zeros((1, 2, 8, 8), np.float32)
    logits[:, 1, :, 5:] = 4
    logits[:, 0, :, :5] = 4
    whole = Placement((8, 8), np.eye(3), (8, 8))
    views = [View({"logits": turn.turned(logits)}, whole, turn) for turn in TURNS]
    expected = np.zeros((8, 8), np.uint8)
    expected[:, 5:] = 1
    assert (averaged_masks(views, task, Detail()).mask == expected).all()
    corner = Placement((8, 8), np.diag([2.0, 2, 1]), (8, 8))  # the upper left quarter, twice as large
    parts = [corner] + [
        Placement((8, 8), np.array([[2.0, 0, -2 * left], [0, 2, -2 * top], [0, 0, 1]]), (8, 8))
        for left, top in ((4, 0), (0, 4), (4, 4))
    ]
    more = [*views, *(View({"logits": _seen(logits, part)}, part) for part in parts)]
    assert (averaged_masks(more, task, Detail()).mask == expected).all()


def _seen(logits: np.ndarray, part: Placement) -> np.ndarray:
    left, top = (round(-part.matrix[axis, 2] / 2) for axis in (0, 1))
    return np.repeat(np.repeat(logits[..., top : top + 4, left : left + 4], 2, axis=-1), 2, axis=-2)
