"""Budgets: how they are written, and what misses them."""

import pytest

from pocketvision.compression.budget import Budget, parse_latency, parse_size, parse_weights
from pocketvision.errors import UsageError


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("8ms", 8), ("8", 8), (" 0.5 s ", 500), ("800us", 0.8), ("800µs", 0.8), (".5MS", 0.5)]
)
def test_latencies(text: str, milliseconds: float) -> None:
    assert parse_latency(text) == pytest.approx(milliseconds)


@pytest.mark.parametrize(
    ("text", "size"), [("5MB", 5e6), ("5", 5e6), ("5 mib", 5 * 2**20), ("800KB", 8e5), ("1.5GB", 1.5e9), ("10B", 10)]
)
def test_sizes(text: str, size: float) -> None:
    assert parse_size(text) == pytest.approx(size)


@pytest.mark.parametrize("text", ["", "fast", "-3ms", "0ms", "8 hours", "1e3ms", "nan", "8ms8ms", "5MB"])
def test_no_latency(text: str) -> None:
    with pytest.raises(UsageError, match=r"--latency .*: expected a time above 0 such as 8ms"):
        parse_latency(text)


@pytest.mark.parametrize("text", ["0", "0MB", "-1MB", "5ms", "inf"])
def test_no_size(text: str) -> None:
    with pytest.raises(UsageError, match=r"--size .*: expected a size above 0 such as 5MB"):
        parse_size(text)


def test_a_budget_limits_something() -> None:
    with pytest.raises(UsageError, match="There is no budget: give --latency"):
        Budget(None, None)
    with pytest.raises(UsageError, match="--max-accuracy-drop is 101"):
        Budget(8, None, 101)


def test_what_a_budget_is_missed_by() -> None:
    budget = Budget(latency_ms=8, bytes=4e6, max_accuracy_drop=1)
    assert budget.misses(latency_ms=8, bytes=4e6, drop=1) == {}
    assert budget.misses(latency_ms=10, bytes=8e6, drop=3.5) == {"latency": 1.25, "size": 2.0, "accuracy": 2.5}
    assert Budget(None, 4e6).misses(latency_ms=1e9, bytes=1, drop=-5) == {}


def test_weights_are_of_tasks() -> None:
    assert parse_weights("detection=2, number=0.5") == {"detection": 2, "number": 0.5}
    for text in ("detection", "detection=much", ""):
        with pytest.raises(UsageError, match="expected TASK=NUMBER"):
            parse_weights(text)
    with pytest.raises(UsageError, match="names number twice"):
        parse_weights("number=1,number=2")
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="expected 0 or more"):
            Budget(8, None, 1, {"number": weight})


def test_weights_fit_the_tasks_of_the_bundle() -> None:
    budget = Budget(8, None, 1, {"detection": 2, "number": 0.25})
    budget.check_tasks(("detection", "number", "tags"))
    assert (budget.loosest(("detection", "tags")), budget.loosest(("detection", "number"))) == (1, 4)
    assert Budget(8, None, 1, {"tags": 0}).loosest(("tags", "number")) == 100
    with pytest.raises(UsageError, match="Did you mean number"):
        budget.check_tasks(("detection", "numbers"))
    with pytest.raises(UsageError, match="the bundle has detection alone"):
        Budget(8, None, 1, {"detection": 2}).check_tasks(("detection",))
    with pytest.raises(UsageError, match="0 for every task"):
        Budget(8, None, 1, {"a": 0, "b": 0}).check_tasks(("a", "b"))
