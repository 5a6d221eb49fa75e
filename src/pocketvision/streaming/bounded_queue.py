"""A bounded queue between two threads: it drops its oldest item, or holds the producer back (backpressure)."""

import threading
import time
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class BoundedQueue(Generic[Item]):
    """Holds at most `capacity` items. When full it drops its oldest and counts it (drop_oldest), or makes `put` wait."""

    def __init__(self, *, capacity: int, drop_oldest: bool) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._drop_oldest = drop_oldest
        self._changed = threading.Condition()
        self._closed = False
        self.dropped = 0
        self.peak = 0
        """The longest that the queue has been."""
        self.error: BaseException | None = None

    def put(self, item: Item) -> bool:
        """Hand an item over. False when the queue is closed, and nobody will get it."""
        with self._changed:
            while not self._drop_oldest and len(self._items) >= self._capacity and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            if len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self.peak = max(self.peak, len(self._items))
            self._changed.notify_all()
            return True

    def get(self, timeout: float | None = None) -> Item | None:
        """The oldest item, waited for at most `timeout` seconds; None when there was none in time, or will be none any more.

        When the queue was closed with an error, the error is raised once the items before it are got.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._items and not self._closed:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self.error is not None:
                raise self.error
            return None

    @property
    def ended(self) -> bool:
        """Whether it is closed and empty: `get` gives nothing any more."""
        with self._changed:
            return self._closed and not self._items

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more comes; what is here may still be got. The first call's error counts."""
        with self._changed:
            if not self._closed:
                self._closed, self.error = True, error
            self._changed.notify_all()

    def abort(self) -> None:
        """Close, and discard what is queued: waiting calls on either side return at once."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
