"""The history's file: written as epochs end, with the phases before, and no reason to end a training."""

from pathlib import Path

from pocketvision.progress import EpochRecord
from pocketvision.training.history import HISTORY, HistoryFile, history_text, read_history


def record(stage: int, epoch: int, **more: float) -> EpochRecord:
    return EpochRecord(stage, epoch, 0.5, 0.75, 0.25, 0.875, 1e-3, 2.0, 100.0, **more)  # type: ignore[arg-type]


def test_it_holds_what_has_ended_so_far(tmp_path: Path) -> None:
    first = [record(1, 1, waiting=0.5)]
    assert HistoryFile(tmp_path).ended(first) is None and read_history(tmp_path) == first
    again = HistoryFile(tmp_path)  # of a run that goes on
    assert again.ended([record(2, 1, gpu_memory=12.5)]) is None
    second = [record(2, 1, gpu_memory=12.5), record(2, 2)]
    assert again.ended(second) is None and read_history(tmp_path) == [*first, *second]
    assert (tmp_path / HISTORY).read_text() == history_text([*first, *second])
    assert again.ended([*first, record(1, 2)]) is None  # given more epochs: what follows is made anew
    assert [each.stage for each in read_history(tmp_path)] == [1, 1]


def test_a_file_that_can_not_be_written_is_told_of(tmp_path: Path) -> None:
    (tmp_path / HISTORY).mkdir()
    assert "can not be written" in (HistoryFile(tmp_path).ended([record(1, 1)]) or "")
