"""Several processes that train one network: who they are, and what they tell each other (torch.distributed).

`torchrun`, `accelerate launch` and others start them and say by environment variables which one each is. All have the same seed,
the same order of rows and the same weights; of each batch a process takes a slice of the rows (shared_model.py). The first one
writes.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from pocketvision.errors import TrainingError
from pocketvision.models.row_draws import Share

Value = TypeVar("Value")

_MEETING = timedelta(minutes=10)  # until all have begun
_ENDLESS = timedelta(days=30)  # the first may be at work for long; who watches over it is _Pulse
_SILENCE = timedelta(seconds=40)  # after which a process is taken to be dead; one whose connection is closed is at once
_BEAT = 1.0  # seconds
_FAILED = 1_000


@dataclass(frozen=True)
class Processes:
    """This process's number, from 0, and how many there are. Every method but the properties is called by all of them at the same
    place; alone they do nothing. Tensors may lie on any device."""

    rank: int = 0
    count: int = 1
    group: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, rows: int) -> Share:
        """This process's part of as many rows; parts differ by one row at most."""
        return Share(rows, rows * self.rank // self.count, rows * (self.rank + 1) // self.count)

    def from_first(self, make: Callable[[], Value]) -> Value:
        """What `make` gives in the first process."""
        if self.count == 1:
            return make()
        told: list[Any] = [make() if self.is_first else None]
        dist.broadcast_object_list(told, src=0, group=self.group)
        value: Value = told[0]
        return value

    def gathered(self, value: Value) -> list[Value]:
        """Everybody's, in order, in the first process; empty in the others."""
        if self.count == 1:
            return [value]
        found: list[Any] | None = [None] * self.count if self.is_first else None
        dist.gather_object(value, found, dst=0, group=self.group)
        return found or []

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, the same bits in each. Half precision is summed in full."""
        if self.count == 1:
            return values
        summed = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values.clone()
        dist.all_reduce(summed, group=self.group)
        return summed.to(values.dtype)

    def highest(self, values: Tensor) -> Tensor:
        """The highest of all processes', each value by itself."""
        if self.count > 1:
            dist.all_reduce(values, op=dist.ReduceOp.MAX, group=self.group)
        return values

    def wait(self) -> None:
        """Until all are here."""
        self.total(torch.zeros(1))

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Within the block the first process is done before the others begin: what it leaves on the disk they find."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()


ALONE = Processes()
_JOINED: ContextVar[Processes] = ContextVar("_JOINED", default=ALONE)


def is_follower() -> bool:
    """Whether this process was started as another than the first of several: it shows nothing and writes nothing."""
    return os.environ.get("RANK", "0") != "0" and os.environ.get("WORLD_SIZE", "1") != "1"


def current() -> Processes:
    """Those that have joined each other (joined)."""
    return _JOINED.get()


def on_this_machine() -> int:
    """How many processes share its cores."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if current().count > 1 else 1


@contextmanager
def joined() -> Iterator[Processes]:
    """Within the block this process is one of those that the environment speaks of (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT).

    When one of them ends or falls silent, all others end within a minute, with a message. Raises TrainingError then.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ or dist.is_initialized():
        yield current()
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_MEETING)
    processes = Processes(dist.get_rank(), dist.get_world_size(), _group(backend, _ENDLESS))
    before, pulse = _JOINED.set(processes), _Pulse()
    try:
        yield processes
        pulse.end(failed=False)
    except RuntimeError as error:
        pulse.end(failed=True)
        if not _is_lost_connection(error):
            raise
        raise TrainingError(_LOST) from error
    except BaseException:
        pulse.end(failed=True)
        raise
    finally:
        _JOINED.reset(before)
        dist.destroy_process_group()


_LOST = (
    "Another process of this training has ended or does not answer any more; its own message says why. This one ends, too. "
    "The last checkpoint is whole: go on with --resume, with as many processes as you like."
)


def _is_lost_connection(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or any(
        word in str(error) for word in ("gloo", "Gloo", "Connection closed")
    )


def _group(backend: str, timeout: timedelta) -> dist.ProcessGroup:
    """Of all processes."""
    made = dist.new_group(backend=backend, timeout=timeout)
    assert not isinstance(made, int), "every process is in it"
    return made


class _Pulse:
    """A thread a process, in which all meet every second in a group of their own: who waits elsewhere learns of a death, too."""

    def __init__(self) -> None:
        self._group = _group("gloo", _SILENCE)
        self._leaving = threading.Event()
        self._said = 1
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
        self._thread.start()

    def end(self, *, failed: bool) -> None:
        """Tell the others that this process leaves, and whether it failed."""
        self._said = _FAILED if failed else 1
        self._leaving.set()
        self._thread.join(timeout=5)

    def _beat(self) -> None:
        while True:
            own_end = self._leaving.wait(_BEAT)
            leaving = torch.tensor([self._said if own_end else 0])
            try:
                dist.all_reduce(leaving, group=self._group)
            except RuntimeError:
                leaving = torch.tensor([_FAILED])
            if own_end or 0 < int(leaving) < _FAILED:
                return
            if int(leaving) >= _FAILED:
                # The process may be deep in a library or wait for the dead one: nothing but an end reaches it there.
                sys.stderr.write(f"Error: {_LOST}\n")
                sys.stderr.flush()
                os._exit(TrainingError.exit_code)
