"""A run's log: one JSON object a line, appended as things happen."""

import logging
from dataclasses import asdict
from pathlib import Path

from pocketvision.atomic_files import append_whole
from pocketvision.json_text import json_text
from pocketvision.progress import Counted, EpochEnded, EpochRecord, Event, Note, OnEvent
from pocketvision.training.outlook import outlook
from pocketvision.training.run_folder import timestamp

logger = logging.getLogger(__name__)


class RunLog:
    """Hands events on and keeps those worth keeping: notes, epochs, and the end of every counted step."""

    def __init__(self, path: Path, on_event: OnEvent) -> None:
        self._path = path
        self._on_event = on_event
        self.notes: list[str] = []
        self._history: list[EpochRecord] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            self.notes.append(event.text)
            self._append({"event": "note", "text": event.text})
        elif isinstance(event, EpochEnded):
            self._append({"event": "epoch", **asdict(event.record), "best": event.best})
        elif isinstance(event, Counted) and event.done == event.total:
            self._append({"event": "step", "step": event.step, "items": event.total})
        self._on_event(event)
        if isinstance(event, EpochEnded):
            self._look_ahead(event)

    def _look_ahead(self, event: EpochEnded) -> None:
        """Note when to go on (outlook.py)."""
        self._history.append(event.record)
        own = event.record.stage
        before, phase = (
            [each for each in self._history if (each.stage == own) is own_phase] for own_phase in (False, True)
        )
        if text := outlook(before, phase, event.epochs):
            self.note(text)

    def note(self, text: str) -> None:
        """Tell a sentence."""
        self(Note(text))

    def _append(self, values: dict[str, object]) -> None:
        try:
            with self._path.open("ab", buffering=0) as file:
                append_whole(file, (json_text({"time": timestamp(), **values}) + "\n").encode())
        except OSError as error:  # a full disk must not end a training over its log
            logger.warning("%s can not be written: %s", self._path, error)
