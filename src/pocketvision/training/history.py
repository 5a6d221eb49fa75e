"""A training's history as a file: a row an epoch, written anew whenever one has ended, so that a run that is under way can be
followed by programs."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

from pocketvision.atomic_files import write_text
from pocketvision.csv_text import csv_line
from pocketvision.errors import UsageError
from pocketvision.progress import EpochRecord

HISTORY = "history.csv"
HISTORY_COLUMNS = tuple(each.name for each in fields(EpochRecord) if each.name not in ("tasks", "gpu_memory"))
"""Of every epoch; those of its tasks, and the memory of a GPU, stand behind them where there are any."""


def epoch_to_dict(epoch: EpochRecord) -> dict[str, float]:
    """One epoch's figures by HISTORY_COLUMNS, and those of its tasks."""
    gpu = {"gpu_memory": epoch.gpu_memory} if epoch.gpu_memory else {}
    return {**{column: getattr(epoch, column) for column in HISTORY_COLUMNS}, **gpu, **epoch.tasks}


def history_text(history: Sequence[EpochRecord]) -> str:
    """As CSV, a row an epoch, with Unix line ends; what an epoch does not tell is an empty cell."""
    epochs = [epoch_to_dict(epoch) for epoch in history]
    columns = list(dict.fromkeys(column for epoch in epochs for column in epoch))
    rows = [[epoch.get(column) for column in columns] for epoch in epochs]
    return csv_line(columns) + "".join(csv_line(row) for row in rows)


def read_history(folder: Path) -> list[EpochRecord]:
    """The epochs of `folder`/history.csv. Raises UsageError when it can not be read."""
    path = folder / HISTORY
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        whole = ("stage", "epoch")
        values = [
            {name: int(text) if name in whole else float(text) for name, text in row.items() if text} for row in rows
        ]
        return [
            EpochRecord(
                **{name: value for name, value in row.items() if "." not in name},  # type: ignore[arg-type]
                tasks={name: value for name, value in row.items() if "." in name},
            )
            for row in values
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} can not be read: {error}.") from error


class HistoryFile:
    """A run's history.csv while it learns; of a run that goes on, the phases that ended before stay in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_stage: dict[int, tuple[EpochRecord, ...]] = {}
        with suppress(UsageError):  # none yet
            for record in read_history(folder):
                self._by_stage[record.stage] = (*self._by_stage.get(record.stage, ()), record)

    def ended(self, history: Sequence[EpochRecord]) -> str | None:
        """Write the file anew, with all epochs of a phase so far; what went wrong where that can not be: a training goes on."""
        stage = history[-1].stage
        self._by_stage = {number: own for number, own in self._by_stage.items() if number < stage} | {
            stage: tuple(history)
        }
        records = [each for number in sorted(self._by_stage) for each in self._by_stage[number]]
        try:
            write_text(self._folder / HISTORY, history_text(records))
        except OSError as error:
            return f"{self._folder / HISTORY} can not be written: {error.strerror or error}."
        return None
