"""An ordered, bounded, threaded map: the one way images are read ahead, in training, auditing and prediction.

Threads, not processes: Pillow decodes and resizes without holding Python's lock, nothing is pickled, and the same code runs
under every multiprocessing start method (Windows and macOS have only `spawn`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int = 2, ahead: int = 32
) -> Iterator[Result]:
    """Yield function(item) for every item, in order, computed by `workers` threads at most `ahead` items early.

    Memory is bounded by `ahead` results. An exception of `function` is raised at its item's place. `workers=0` computes
    in the calling thread. Closing the generator (or leaving the loop) cancels what has not begun.
    """
    if workers == 0:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
