"""A run's figures on their way to its trackers, epoch by epoch."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from pocketvision.atomic_files import write_json
from pocketvision.progress import EpochRecord
from pocketvision.training.trackers import TRACKERS, Tracker

logger = logging.getLogger(__name__)
FILE = "trackers.json"
"""In a run's folder: by tracker, the identity that it gave the run, under which a run that goes on is tracked on."""


class Tracking:
    """Hands a run's epochs to its trackers, a series a phase and figure: `phase1/val_loss` and so on, whose step is the epoch.

    Use as a context manager. A tracker that fails on the way is told of once and left out: no training ends over it.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._names = names
        self._open: dict[str, Tracker] = {}
        self._note: Callable[[str], None] = logger.warning

    def __enter__(self) -> "Tracking":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in [*self._open]:
            self._tried(name, lambda tracker: tracker.finish())
        self._open.clear()

    def start(self, settings: Mapping[str, Any], note: Callable[[str], None]) -> None:
        """Open the run in each tracker, or go on in it; a new one gets the recipe's settings, by path. note: takes a sentence."""
        self._note = note
        path = self._folder / FILE
        known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for name in self._names:
            row = TRACKERS[name]
            self._open[name] = tracker = row.make(self._folder, known.get(name) or None)
            if self._tried(name, lambda tracker: tracker.start()) and name not in known:
                self._tried(name, lambda tracker: tracker.store_init_configuration(dict(settings)))
                if name in self._open:
                    known[name] = row.identity(tracker)
        if self._names:
            write_json(path, known)

    def epoch(self, record: EpochRecord) -> None:
        """An epoch has ended."""
        for name in [*self._open]:
            self._tried(name, lambda tracker: tracker.log(figures(record), step=record.epoch))

    def _tried(self, name: str, act: Callable[[Tracker], None]) -> bool:
        """Whether the tracker did it; one that did not is left out from now on."""
        try:
            act(self._open[name])
        except Exception as error:  # whatever a tracker's library or its server comes up with
            logger.debug("the tracker %s failed", name, exc_info=True)
            del self._open[name]
            self._note(
                f"{name} is not told any more: {type(error).__name__}: {error}. The run's own files have it all."
            )
            return False
        return True


def figures(record: EpochRecord) -> dict[str, float]:
    """An epoch's, by the names of their series."""
    values = {name: value for name, value in asdict(record).items() if name not in ("stage", "epoch", "tasks")}
    return {f"phase{record.stage}/{name}": float(value) for name, value in {**values, **record.tasks}.items()}
