"""The place between two threads: bounded, the oldest dropped and counted or nobody lost, and no one left waiting."""

import threading

import pytest

from pocketvision.streaming.slot import Slot


def test_a_lossy_slot_keeps_the_newest_and_counts_the_rest() -> None:
    slot: Slot[int] = Slot(capacity=1, lossy=True)
    for item in range(5):
        assert slot.put(item)
    assert (slot.take(), slot.dropped, slot.most) == (4, 4, 1)
    assert slot.take(timeout=0.01) is None
    assert not slot.ended


def test_nothing_is_lost_when_put_waits() -> None:
    slot: Slot[int] = Slot(capacity=2, lossy=False)

    def fill() -> None:
        for item in range(200):
            slot.put(item)
        slot.close()

    thread = threading.Thread(target=fill)
    thread.start()
    taken = []
    while (item := slot.take(timeout=5)) is not None:
        taken.append(item)
    thread.join(timeout=5)
    assert taken == list(range(200))
    assert slot.dropped == 0
    assert slot.most <= 2
    assert slot.ended


def test_an_error_comes_after_the_items_before_it() -> None:
    slot: Slot[int] = Slot(capacity=2, lossy=False)
    slot.put(1)
    slot.close(ValueError("broken"))
    slot.close()
    assert slot.take() == 1
    with pytest.raises(ValueError, match="broken"):
        slot.take()
    assert not slot.put(2)


def test_cancel_frees_both_sides() -> None:
    slot: Slot[int] = Slot(capacity=1, lossy=False)
    slot.put(1)
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(slot.put(2))) for _ in range(2)]
    for thread in threads:
        thread.start()
    slot.cancel()
    for thread in threads:
        thread.join(timeout=5)
    assert answers == [False, False]
    assert slot.take() is None
