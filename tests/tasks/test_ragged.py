"""Rows of different lengths: kept flat, taken out in any order."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray

from pocketvision.tasks.ragged import Ragged


def boxes(count: int, first: int = 0) -> dict[str, NDArray[Any]]:
    numbers = np.arange(first, first + count)
    return {"boxes": np.stack([numbers] * 4, axis=1).astype(np.float32), "classes": numbers.astype(np.int32)}


def ragged(lengths: list[int]) -> Ragged:
    starts = np.cumsum([0, *lengths])
    return Ragged.of([boxes(count, int(start)) for count, start in zip(lengths, starts, strict=False)])


@given(some.lists(some.integers(0, 5), min_size=1), some.randoms(use_true_random=False))
def test_rows_are_taken_out_as_they_were_put_in(lengths: list[int], dice: Any) -> None:
    rows = ragged(lengths)
    assert len(rows) == len(lengths) and rows.lengths.tolist() == lengths
    indices = np.array(dice.choices(range(len(lengths)), k=7), np.int64)
    chosen = rows.select(indices)
    for place, index in enumerate(indices.tolist()):
        for name, column in rows.row(index).items():
            assert chosen.row(place)[name].tolist() == column.tolist()
            assert chosen.columns[name].dtype == rows.columns[name].dtype
    assert len(rows.select(np.array([], np.int64))) == 0


def test_a_box_takes_40_bytes_at_most() -> None:
    rows = ragged([3] * 1000)
    held = rows.offsets.nbytes + sum(column.nbytes for column in rows.columns.values())
    assert held / 3000 <= 40


@pytest.mark.parametrize("offsets", [[], [1, 2], [0, 2, 1, 2], [0, 3]])
def test_offsets_that_do_not_fit_are_refused(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Ragged(np.array(offsets, np.int64), boxes(2))
