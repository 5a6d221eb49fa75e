"""Masks as they are told and drawn."""

import numpy as np
import pytest

from pocketvision.preprocessing import Placement
from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.colours import class_colour
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.segmentation import forms
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.decode import decode
from pocketvision.tasks.segmentation.draw import OPACITY, draw
from pocketvision.tasks.segmentation.truth import NOTHING
from pocketvision.tasks.segmentation.wire import WIRE
from pocketvision.tasks.task import Detail

MASK = np.array([[0, 0, 2, 2], [0, 1, 1, NOTHING], [2, 2, 2, 2]], np.uint8)


def test_runs_and_png_give_the_mask_again() -> None:
    told = forms.to_json(MASK, "rle")
    assert told["values"] == [0, 2, 0, 1, 255, 2] and told["lengths"] == [2, 2, 1, 2, 1, 4]
    for form in forms.FORMS:
        assert (forms.from_json(forms.to_json(MASK, form)) == MASK).all()
    told = forms.to_json(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8), "polygons")["polygons"]
    assert [each["value"] for each in told] == [0, 1] and [len(each["rings"]) for each in told] == [1, 2]
    large = np.random.default_rng(0).integers(0, 255, (40, 30)).astype(np.uint8)
    for form in ("png", "polygons"):
        assert (forms.from_json(forms.to_json(large, form)) == large).all()


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"width": 10**6, "height": 10**6},
        {"lengths": [2, 2, 1, 2, 1, 3]},
        {"lengths": [2, 2, 1, 2, 1]},
        {"lengths": [-2, 6, 1, 2, 1, 4]},
        {"values": [0, 2, 0, 1, 256, 2]},
        {"form": "gif"},
        {"form": "polygons", "polygons": [{"value": 0, "rings": [[[0, 0], [1, 1]]]}]},
        {"form": "polygons", "polygons": [{"value": 0, "rings": [[[0, 0], [9, 0]]]}]},
        {"form": "polygons", "polygons": [{"value": 255, "rings": []}]},
        {"form": "png", "data": "!"},
        {"form": "png", "data": "aGVsbG8="},
        {"form": "png", "data": forms.to_json(MASK[:2], "png")["data"]},
    ],
)
def test_a_form_that_is_no_mask_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"mask|runs|form|polygon"):
        forms.from_json({**forms.to_json(MASK, "rle"), **change})


def test_classes_are_told_by_the_mask_s_values() -> None:
    values = np.stack([np.where(place == MASK, 3.0, -3.0) for place in (0, 1, 2)])[None].astype(np.float32)
    task = TaskManifest("segmentation", ("sky", "road", "tree"), {"logits": "logits"})
    answer = decode({"logits": values}, [Placement.of_decoding((4, 3))], task, Detail())[0]
    told = WIRE.to_json(answer, Detail())
    assert [(each["label"], each["value"]) for each in told["classes"]] == [("tree", 2), ("sky", 0), ("road", 1)]
    assert [each["area"] for each in told["classes"]] == [6, 4, 2]
    assert "mask" not in WIRE.to_json(answer, Detail(masks=False))
    assert WIRE.to_json(answer, Detail(mask_form="png"))["mask"]["form"] == "png"
    read = WIRE.from_json(told)
    assert read.labels == ("sky", "road", "tree") and read.mask is not None and (read.mask == answer.mask).all()
    assert WIRE.cells(answer, Detail())[0] == "tree;sky;road"
    with pytest.raises(ValueError, match="one value"):
        WIRE.from_json({**told, "classes": [told["classes"][0]] * 2})


def test_a_mask_is_laid_over_the_picture() -> None:
    mask = np.zeros((400, 300), np.uint8)
    mask[:, 150:] = 1
    mask[300:, :100] = NOTHING
    pixels = np.full((400, 300, 3), 100, np.uint8)
    answer = Segmentation(("a", "b"), (300, 400), np.array([0.4, 0.5]), mask)
    canvas = Canvas(pixels, latin=True)
    draw(canvas, answer)
    drawn = canvas.finished()
    for place, column in ((0, 50), (1, 250)):
        mixed = 100 + (np.array(class_colour(place)) - 100) * OPACITY
        assert np.abs(drawn[200, column] - mixed).max() <= 1
    assert tuple(drawn[200, 150]) == class_colour(1)
    assert (drawn[350, 50] == 100).all()
    small = Canvas(pixels[:200, :150], latin=True)
    draw(small, answer)  # a mask of another size than the picture
    assert small.finished().shape == (200, 150, 3)
