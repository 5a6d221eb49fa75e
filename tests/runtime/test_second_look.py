"""Crop and go on: what is cut out, and what a second model says of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_segmenter import segmenter
from PIL import Image
from square_detector import detector, write_pictures

from pocketvision.bundle import Bundle
from pocketvision.errors import ImageError, UsageError
from pocketvision.preprocessing import DecodedImage
from pocketvision.runtime.chained_predictor import ChainedPredictor
from pocketvision.runtime.onnx_backend import OnnxBackend
from pocketvision.runtime.predictor import BATCH, Predictor
from pocketvision.runtime.second_look import SecondLook, Thing, check_second_look, cut_out, grown, within
from pocketvision.tasks.catalog import TASKS
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.track import FollowedObjects
from pocketvision.tasks.task import Detail, Smoothing
from pocketvision.tasks.wire import answers_from_json, answers_to_json, brief, columns, row_cells


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return detector(tmp_path_factory.mktemp("found") / "bundle")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures", [[(0, 0, 1), (1, 2, 2), (0, 3, 1)]])
    return tmp_path / "pictures/0.png"


@pytest.fixture
def chain(found: Bundle, shared_bundle: Bundle) -> ChainedPredictor:
    return ChainedPredictor(Predictor(found, threads=1), Predictor(shared_bundle, threads=1), SecondLook(), threads=1)


def test_a_box_grows_by_its_own_size_as_far_as_the_picture_goes() -> None:
    assert grown(np.array([[10.0, 20.0, 30.0, 60.0]]), 0.1).tolist() == [[8.0, 16.0, 32.0, 64.0]]
    assert within((8.0, 16.0, 32.0, 64.0), (100, 50)) == (8, 16, 32, 50)
    assert within((-3.2, 4.4, 9.6, 5.0), (100, 50)) == (0, 4, 10, 5), "all pixels that it touches"
    assert within((99.9999999, 7.0, 120.0, 7.0), (100, 50)) == (99, 7, 100, 8), "one pixel at least"


def test_boxes_are_pixels_of_the_whole_picture() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[10:20, 20:40] = 255
    small = Image.fromarray(pixels).resize((30, 20))
    things = [Thing("detection", 0, (20.0, 10.0, 40.0, 20.0))]
    (part,) = cut_out(DecodedImage(small, reduced_from=((60, 40), 2, 1)), things)
    assert part.size == (10, 5) and np.asarray(part).min() > 200
    assert cut_out(DecodedImage(small), [replace(things[0], box=(0.0, 0.0, 3.0, 2.0))])[0].size == (3, 2)


def test_what_is_found_is_answered_about_as_it_is_alone(
    chain: ChainedPredictor, shared_bundle: Bundle, picture: Path
) -> None:
    answer = chain.answers(picture)["detection"]
    assert answer.names == ["red", "red", "blue"] and len(answer.looked or ()) == 3
    second = Predictor(shared_bundle)
    with Image.open(picture) as whole:
        for box, looked in zip(answer.boxes.tolist(), answer.looked, strict=True):
            expected = second(whole.convert("RGB").crop(tuple(map(int, box))))
            assert looked["classification"].probability == pytest.approx(expected.probability, abs=1e-6)
    assert [each.split()[0] for each in answer.said] == ["red", "red", "파랑"]
    told = answers_to_json({"detection": answer}, Detail(top_k=1))
    again = answers_from_json(told)["detection"]
    assert again.said == answer.said and answers_to_json({"detection": again}, Detail(top_k=1)) == told


def test_only_things_of_these_classes(chain: ChainedPredictor, picture: Path) -> None:
    chain.look = SecondLook(("blue",))
    assert [bool(each) for each in chain.answers(picture)["detection"].looked] == [False, False, True]
    told = answers_to_json(chain.answers(picture), Detail())["detection"]["objects"]
    assert ["then" in each for each in told] == [False, False, True]


def test_boxes_run_in_batches(chain: ChainedPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path, [[(0, column, row) for column in range(4) for row in (1, 2)]])
    sizes, run = [], OnnxBackend.run

    def counting(self: OnnxBackend, images: Any) -> Any:
        sizes.append(len(images))
        return run(self, images)

    monkeypatch.setattr(OnnxBackend, "run", counting)
    assert len(chain.answers(tmp_path / "0.png")["detection"]) == 8
    assert sizes == [1, BATCH, 8 - BATCH]


def test_rows_keep_their_order_and_errors_their_place(chain: ChainedPredictor, picture: Path, tmp_path: Path) -> None:
    (broken := tmp_path / "broken.png").write_bytes(b"no image")
    empty = tmp_path / "empty.png"
    Image.new("RGB", (40, 20)).save(empty)
    rows = list(chain.stream([picture, broken, empty, picture], workers=2))
    assert [row.path for row in rows] == list(map(str, (picture, broken, empty, picture)))
    assert [None if row.error else row.prediction.looked and len(row.prediction.looked) for row in rows] == [
        3,
        None,
        (),
        3,
    ]
    with pytest.raises(ImageError, match="broken"):
        chain.answers(broken)


def test_tables_have_a_column_of_it(chain: ChainedPredictor, picture: Path) -> None:
    answers, kinds, detail = chain.answers(picture), {"detection": "detection"}, Detail(looked=True)
    assert columns(kinds, detail)[-1] == "then" and columns(kinds, Detail())[-1] == "y2"
    rows = row_cells(kinds, answers, detail)
    assert [row[-1] for row in rows] == answers["detection"].said
    assert brief(answers, Detail())[0] == ["2 reds, 1 blue", "; ".join(answers["detection"].said)]


def test_tasks_can_be_off(chain: ChainedPredictor, picture: Path) -> None:
    first = chain.first
    with pytest.raises(UsageError, match="Unknown task 'boxes'"):
        first.wanting(Detail(tasks=("boxes",)))
    with pytest.raises(UsageError, match="No task is wanted"):
        first.wanting(Detail(tasks=()))
    least = chain.wanting(Detail(by_task={"detection": Detail(min_score=0.98)}))
    assert len(least.answers(picture)["detection"]) == 2 and len(chain.answers(picture)["detection"]) == 3


def test_what_does_not_go_together(found: Bundle, shared_bundle: Bundle, tmp_path: Path) -> None:
    pixels = segmenter(tmp_path / "pixels")
    for look, first, second, said in (
        (SecondLook(("rod",)), found, shared_bundle, "Unknown class of the detector's 'rod'. Did you mean red?"),
        (SecondLook(), shared_bundle, shared_bundle, "Only what finds objects can be followed by a second model"),
        (SecondLook(), pixels, shared_bundle, "Only what finds objects can be followed by a second model"),
        (SecondLook(), found, found, "answers detection in pixels"),
        (SecondLook(), found, pixels, "answers segmentation in pixels"),
    ):
        with pytest.raises(UsageError, match=said):
            check_second_look(look, first.tasks, second.tasks)
    for margin in (-0.1, 1.01, float("nan")):
        with pytest.raises(UsageError, match="margin is"):
            SecondLook(margin=margin)
    with pytest.raises(UsageError, match="names no class"):
        SecondLook(of=())
    with pytest.raises(ValueError, match="looked has 1 answers; expected 0"):
        Detections(("a",), np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), looked=(None,))


def test_followed_objects_keep_what_was_said_of_them() -> None:
    follow = FollowedObjects(Smoothing("majority", seconds=1.0))

    def frame(boxes: list[list[float]], said: list[str]) -> Detections:
        count = len(boxes)
        looked = tuple({"classification": word} for word in said)
        return Detections(("a",), np.array(boxes), np.full(count, 0.9), np.zeros(count, np.int64), looked=looked)

    left, right = [0.0, 0.0, 10.0, 10.0], [50.0, 0.0, 60.0, 10.0]
    follow(0.0, frame([left, right], ["one", "two"]))
    turned = follow(0.1, frame([right, left], ["two again", "one again"]))
    assert turned.tracks is not None and turned.looked is not None
    words = {
        track: each and each["classification"]
        for track, each in zip(turned.tracks.tolist(), turned.looked, strict=True)
    }
    assert words == {1: "one again", 2: "two again"}
    alone = follow(0.2, frame([left], ["one last"]))
    assert [each and each["classification"] for each in alone.looked or ()] == ["one last", "two again"], "out of sight"


@pytest.mark.parametrize("kind", TASKS)
def test_what_has_places_is_in_pixels(kind: str) -> None:
    assert TASKS[kind].places is None or TASKS[kind].in_pixels
