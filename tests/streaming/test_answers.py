"""A stream without video: what is answered, dropped, reconnected and bounded, with made-up sources and models."""

import threading
import time
from collections.abc import Iterator
from itertools import cycle, pairwise

import numpy as np
import pytest

from pocketvision.errors import ImageError, SourceError, UsageError
from pocketvision.streaming.answers import READ_AHEAD, Answer, Streaming, streaming
from pocketvision.streaming.crop import Crop, parse_crop
from pocketvision.streaming.frame import Pixels, SourceEvents, SourceFrame
from pocketvision.streaming.pattern import draw, number_of, read_test_pattern
from pocketvision.streaming.reader import BackOff, Pace
from pocketvision.streaming.silence import SilenceMonitor
from pocketvision.tasks.catalog import Answers
from pocketvision.tasks.classification.answer import Classification

ANSWER: Answers = {"classification": Classification(("something",), np.ones(1, dtype=np.float32))}


def picture(index: int, position: float | None = None) -> SourceFrame:
    return SourceFrame(pixels=lambda: draw(index), position=position)


def predict(_pixels: Pixels) -> Answers:
    return ANSWER


def never() -> bool:
    return False


def everything(running: Streaming) -> list[Answer]:
    return list(running)


def test_every_frame_is_answered_when_none_may_be_lost() -> None:
    def slow(_pixels: Pixels) -> Answers:
        time.sleep(0.002)
        return ANSWER

    with streaming(lambda _: map(picture, range(100)), slow, stopped=never, keep_all=True) as running:
        answers = everything(running)
    assert [number_of(answer.pixels) for answer in answers if answer.pixels is not None] == list(range(100))
    assert [answer.frame.index for answer in answers] == list(range(100))
    assert (running.counts.read, running.frames.dropped) == (100, 0)
    assert running.frames.peak <= READ_AHEAD


def test_a_slow_model_gets_the_newest_frame_and_queues_stay_short() -> None:
    """60 pictures a second, a model that takes 50 ms: some 20 answers a second, each of a frame that has just come."""
    ended = time.monotonic() + 3

    def slow(_pixels: Pixels) -> Answers:
        time.sleep(0.05)
        return ANSWER

    with streaming(
        lambda _: read_test_pattern(60),
        slow,
        stopped=lambda: time.monotonic() > ended,
        keep_all=False,
        pace=Pace(paced=True),
    ) as running:
        answers = everything(running)
        queues = running.frames.peak, running.answers.peak
    assert queues[0] == 1
    assert queues[1] <= 2
    assert running.frames.dropped > len(answers)
    assert running.counts.read >= running.frames.dropped + len(answers)
    indexes = [answer.frame.index for answer in answers]
    assert indexes == sorted(set(indexes))
    waits = [answer.latency - answer.inference for answer in answers]
    # Not the bar itself (benchmarks/stream_latency.py): a busy machine may stop us anywhere. But it does not grow.
    assert np.median(waits[len(waits) // 2 :]) < 0.5


def test_the_caller_may_be_slow_and_memory_does_not_grow() -> None:
    with streaming(
        lambda _: read_test_pattern(200), predict, stopped=never, keep_all=False, pace=Pace(paced=True)
    ) as running:
        for count, _ in enumerate(running):
            time.sleep(0.05)
            if count == 5:
                break
        assert running.answers.peak <= 2
        assert running.frames.peak == 1
    assert running.frames.dropped > 0


def test_an_image_that_can_not_be_read_is_an_answer_with_an_error() -> None:
    def broken() -> Pixels:
        raise ImageError("two.png", "it is broken")

    pictures = [picture(1), SourceFrame(broken, None, "two.png"), picture(3)]
    with streaming(lambda _: iter(pictures), predict, stopped=never, keep_all=True) as running:
        answers = everything(running)
    assert [answer.error for answer in answers] == [None, "it is broken", None]
    assert answers[1].prediction is None


def test_a_crop_is_answered_and_one_outside_names_the_frames_size() -> None:
    with streaming(
        lambda _: iter([picture(1)]), predict, stopped=never, keep_all=True, crop=Crop(10, 20, 30, 40)
    ) as running:
        (answer,) = everything(running)
    assert answer.pixels is not None
    np.testing.assert_array_equal(answer.pixels, draw(1)[20:60, 10:40])
    with (
        pytest.raises(UsageError, match="640 pixels wide and 480 high"),
        streaming(lambda _: iter([picture(1)]), predict, stopped=never, keep_all=True, crop=Crop(600, 0, 41, 9)) as run,
    ):
        everything(run)


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "0,0,0,5", "-1,0,5,5", "1.5,0,5,5", ""])
def test_a_crop_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--crop"):
        parse_crop(text)


def test_a_broken_source_is_opened_again_with_growing_pauses() -> None:
    opened: list[float] = []

    def read(_events: SourceEvents) -> Iterator[SourceFrame]:
        opened.append(time.monotonic())
        if len(opened) in (2, 3, 4):  # three failures in a row
            raise SourceError("camera: gone")
        yield picture(len(opened))
        if len(opened) < 6:
            raise SourceError("camera: broke")

    again = BackOff(enabled=True, first_delay=0.02, longest_delay=0.1)
    with streaming(read, predict, stopped=never, keep_all=True, back_off=again) as running:
        answers = everything(running)
    assert [number_of(answer.pixels) for answer in answers if answer.pixels is not None] == [1, 5, 6]
    assert running.counts.reconnects == 2
    pauses = np.diff(opened)
    assert (pauses[:4] >= [0.02, 0.04, 0.08, 0.1]).all()


def test_a_source_that_never_opens_says_what_was_tried() -> None:
    def read(_events: SourceEvents) -> Iterator[SourceFrame]:
        raise SourceError("rtsp://camera: Connection refused")
        yield

    again = BackOff(enabled=True, first_delay=0.01)
    with (
        pytest.raises(
            SourceError, match=r"rtsp://camera: Connection refused. Tried 3 times in .* s, and no picture came"
        ),
        streaming(read, predict, stopped=never, keep_all=False, back_off=again) as running,
    ):
        everything(running)


def test_a_mistake_of_the_model_ends_the_stream_with_it() -> None:
    def wrong(_pixels: Pixels) -> Answers:
        raise RuntimeError("no such operator")

    with (
        pytest.raises(RuntimeError, match="no such operator"),
        streaming(lambda _: map(picture, range(9)), wrong, stopped=never, keep_all=True) as running,
    ):
        everything(running)


def test_a_clock_that_jumps_changes_no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = cycle([2e9, 1e9, 0.0, 3e9, 5.0])
    monkeypatch.setattr("pocketvision.streaming.reader.time.time", lambda: next(jumps))
    pictures = [picture(index, index / 50) for index in range(20)]
    with streaming(lambda _: iter(pictures), predict, stopped=never, keep_all=False, pace=Pace(paced=True)) as running:
        answers = everything(running)
    assert len(answers) > 2
    assert all(answer.latency is not None and 0 <= answer.latency < 60 for answer in answers)


def test_frames_that_wait_for_the_model_have_no_latency() -> None:
    """A file's frame has no moment at which it came; how long it lay in a queue says nothing."""
    with streaming(lambda _: map(picture, range(5)), predict, stopped=never, keep_all=True) as running:
        assert [answer.latency for answer in running] == [None] * 5


def test_a_frame_that_the_crop_does_not_fit_into_costs_that_frame() -> None:
    small = SourceFrame(pixels=lambda: draw(2)[:30, :30], position=None)
    pictures = [picture(1), small, picture(3)]
    with streaming(
        lambda _: iter(pictures), predict, stopped=never, keep_all=True, crop=Crop(10, 20, 30, 40)
    ) as running:
        answers = everything(running)
    assert [answer.error is None for answer in answers] == [True, False, True]
    assert answers[1].error is not None
    assert "which is 30 pixels wide and 30 high" in answers[1].error


def test_one_frame_a_period() -> None:
    pictures = [picture(index, index / 10) for index in range(60)]
    with streaming(lambda _: iter(pictures), predict, stopped=never, keep_all=True, pace=Pace(every=2.0)) as running:
        answers = everything(running)
    assert [answer.frame.index for answer in answers] == [0, 20, 40]
    assert (running.counts.read, running.counts.skipped) == (60, 57)


def test_one_frame_a_period_of_a_camera_goes_by_arrival() -> None:
    def read(_events: SourceEvents) -> Iterator[SourceFrame]:
        for index in range(30):
            time.sleep(0.005)
            yield picture(index, 0.0)  # whatever its own clock says

    pace = Pace(every=0.05, by_arrival=True)
    with streaming(read, predict, stopped=never, keep_all=True, pace=pace) as running:
        answers = everything(running)
    arrived = [answer.frame.captured for answer in answers]
    assert 2 <= len(answers) <= 16
    assert all(later - earlier > 0.005 for earlier, later in pairwise(arrived))


def test_notes_come_once_and_in_the_callers_thread() -> None:
    notes: list[tuple[str, int]] = []

    def read(events: SourceEvents) -> Iterator[SourceFrame]:
        for index in range(3):
            events.note("it has no timestamps")
            events.note(f"number {index // 2}")
            yield picture(index)

    with streaming(
        read, predict, stopped=never, keep_all=True, on_note=lambda text: notes.append((text, threading.get_ident()))
    ) as running:
        everything(running)
    here = threading.get_ident()
    assert notes == [("it has no timestamps", here), ("number 0", here), ("number 1", here)]


def test_silence_is_reported_while_it_lasts_and_when_it_is_over() -> None:
    watch = SilenceMonitor("camera 0", started=100.0)
    assert watch(101.9, None) is None
    assert watch(102.0, None) == "camera 0: no picture for 2 s (how long is waited: --open-timeout, --read-timeout)"
    assert watch(103.9, None) is None
    assert "for 4 s" in str(watch(104.0, None))
    assert "for 8 s" in str(watch(108.0, None))
    assert watch(109.0, 108.5) == "camera 0: a picture came after 8.5 s"
    for place in range(5):  # a camera that gives a picture in 8 s: that is its pace, and is not reported again
        assert watch(116.0 + 8 * place, 108.5 + 8 * place) is None
    assert "for 13 s" in str(watch(153.5, 140.5))


def test_leaving_ends_the_threads() -> None:
    before = threading.active_count()
    with streaming(lambda _: read_test_pattern(1000), predict, stopped=never, keep_all=True) as running:
        next(iter(running))
    assert threading.active_count() == before
