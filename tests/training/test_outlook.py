"""What a run says when a tenth of its second phase is done."""

import pytest

from pocketvision.progress import EpochRecord
from pocketvision.training.outlook import outlook


def epoch(stage: int, number: int, loss: float, right: float, seconds: float) -> EpochRecord:
    return EpochRecord(stage, number, 0.5, 0.8, loss, right, 1e-3, seconds, 100.0)


SOLVED = (epoch(1, 1, 0.41, 0.881, 21.0),)


def test_it_says_what_was_reached_and_what_the_rest_costs() -> None:
    text = outlook(SOLVED, [epoch(2, 1, 0.37, 0.902, 30.0)], 5)
    assert text is not None
    assert "Phase 1 reached 88.1% of the validation images (loss 0.410) in 21 s." in text
    assert "Phase 2 after 1 epoch of 5, 30 s: 90.2% of the validation images (loss 0.370)." in text
    assert "about 2 min 0 s more" in text


@pytest.mark.parametrize(
    ("done", "epochs", "said"), [(1, 10, True), (1, 11, False), (2, 11, True), (2, 20, True), (3, 20, False)]
)
def test_a_tenth_is_the_epoch_that_completes_it(done: int, epochs: int, said: bool) -> None:
    phase = [epoch(2, number + 1, 0.4, 0.9, 3.0) for number in range(done)]
    assert (outlook(SOLVED, phase, epochs) is not None) is said


def test_there_is_nothing_to_say_of_a_first_phase_or_of_a_single_epoch() -> None:
    assert outlook((), SOLVED, 20) is None
    assert outlook(SOLVED, [epoch(2, 1, 0.4, 0.9, 3.0)], 1) is None


def test_other_kinds_are_told_by_their_own_figures() -> None:
    record = EpochRecord(1, 1, 0.5, 0.0, 0.4, 0.7, 0.0, 2.0, 9.0, {"number.loss": 0.4, "number.R2": 0.7})
    assert "loss 0.400, R2 0.700" in str(outlook([record], [record], 9))
