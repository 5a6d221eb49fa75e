"""The place between two threads: bounded, the oldest dropped and counted or nobody lost, and no one left waiting."""

import threading

import pytest

from pocketvision.streaming.bounded_queue import BoundedQueue


def test_a_lossy_slot_keeps_the_newest_and_counts_the_rest() -> None:
    queue: BoundedQueue[int] = BoundedQueue(capacity=1, drop_oldest=True)
    for item in range(5):
        assert queue.put(item)
    assert (queue.get(), queue.dropped, queue.peak) == (4, 4, 1)
    assert queue.get(timeout=0.01) is None
    assert not queue.ended


def test_nothing_is_lost_when_put_waits() -> None:
    queue: BoundedQueue[int] = BoundedQueue(capacity=2, drop_oldest=False)

    def fill() -> None:
        for item in range(200):
            queue.put(item)
        queue.close()

    thread = threading.Thread(target=fill)
    thread.start()
    taken = []
    while (item := queue.get(timeout=5)) is not None:
        taken.append(item)
    thread.join(timeout=5)
    assert taken == list(range(200))
    assert queue.dropped == 0
    assert queue.peak <= 2
    assert queue.ended


def test_an_error_comes_after_the_items_before_it() -> None:
    queue: BoundedQueue[int] = BoundedQueue(capacity=2, drop_oldest=False)
    queue.put(1)
    queue.close(ValueError("broken"))
    queue.close()
    assert queue.get() == 1
    with pytest.raises(ValueError, match="broken"):
        queue.get()
    assert not queue.put(2)


def test_cancel_frees_both_sides() -> None:
    queue: BoundedQueue[int] = BoundedQueue(capacity=1, drop_oldest=False)
    queue.put(1)
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(queue.put(2))) for _ in range(2)]
    for thread in threads:
        thread.start()
    queue.abort()
    for thread in threads:
        thread.join(timeout=5)
    assert answers == [False, False]
    assert queue.get() is None
