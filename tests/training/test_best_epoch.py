"""The best epoch: of the lowest loss where a task is alone, of the best mean rank where there are several."""

from dataclasses import replace

from pocketvision.progress import EpochRecord
from pocketvision.training.best_epoch import best_of, is_better, is_finished, kept_epochs, mean_rank


def epoch(number: int, loss: float, stage: int = 1, **figures: float) -> EpochRecord:
    """Of tasks by name; each has a loss of 1."""
    tasks = {f"{task}.AP50": figure for task, figure in figures.items()} | {f"{task}.loss": 1.0 for task in figures}
    return EpochRecord(stage, number, 1.0, 0.5, loss, 0.5, 1e-3, 1.0, 10.0, tasks)


def test_a_task_alone_is_judged_by_its_loss() -> None:
    one, other = epoch(1, 0.5, one=0.9), epoch(2, 0.4, one=0.1)
    assert is_better(other, one, [one, other]) and not is_better(one, other, [one, other])
    assert best_of([one, other]) is other
    assert best_of([replace(each, tasks={}) for each in (one, other)]).epoch == 2


def test_several_are_judged_by_the_mean_of_their_ranks() -> None:
    history = [epoch(1, 9.0, one=0.5, two=0.5, three=0.5), epoch(2, 1.0, one=0.9, two=0.4, three=0.4)]
    # One ranks 1, 0 and the others 0, 1: two of three tasks are better in the first, whatever the losses say.
    assert [mean_rank(each, history) for each in history] == [1 / 3, 2 / 3]
    assert best_of(history) is history[0]
    history.append(epoch(3, 5.0, one=0.91, two=0.45, three=0.55))
    assert [mean_rank(each, history) for each in history] == [1.0, 5 / 3, 1 / 3]
    assert best_of(history) is history[2]


def test_equal_figures_are_told_apart_by_their_losses_and_equal_ranks_by_the_whole_loss() -> None:
    one = epoch(1, 2.0, one=0.5, two=0.5)
    same = replace(one, epoch=2, val_loss=1.5)
    assert mean_rank(one, [one, same]) == mean_rank(same, [one, same]) == 0.5
    assert is_better(same, one, [one, same]) and not is_better(one, same, [one, same])
    lower = replace(one, epoch=3, val_loss=3.0, tasks={**one.tasks, "two.loss": 0.9})
    assert is_better(lower, one, [one, lower])


def test_what_else_a_history_tells_of_tasks_ranks_nothing() -> None:
    one = epoch(1, 2.0, one=0.5, two=0.5)
    other = replace(one, epoch=2, val_loss=2.5, tasks={**one.tasks, "one.weight": 9.0, "one+two.cosine": 1.0})
    assert not is_better(other, one, [one, other])


def test_a_later_phase_has_to_be_better_than_the_one_before() -> None:
    first = [epoch(1, 1.0, one=0.8, two=0.8), epoch(2, 1.0, one=0.7, two=0.7)]
    worse = [epoch(1, 0.5, 2, one=0.6, two=0.75), epoch(2, 0.4, 2, one=0.65, two=0.7)]
    assert best_of([*first, *worse]) is first[0]
    assert best_of([*first, *worse, epoch(3, 2.0, 2, one=0.9, two=0.9)]).val_loss == 2.0


def test_a_gain_below_the_minimum_does_not_begin_patience_anew() -> None:
    history = [epoch(1, 1.0), epoch(2, 0.95), epoch(3, 0.91), epoch(4, 0.85), epoch(5, 0.84)]
    ends = [place for place in range(1, 6) if is_finished(history[:place], epochs=9, patience=2, least=0.1)]
    assert ends == [3]  # 0.95 and 0.91 are less than a tenth below 1.0
    assert not any(is_finished(history[:place], epochs=9, patience=2) for place in range(1, 6))
    assert not is_finished(history, epochs=9, patience=3, least=0.1) and is_finished(history, epochs=5, patience=3)
    negative = [epoch(1, -1.0), epoch(2, -1.05), epoch(3, -1.2)]  # as the likelihood of a number may be
    assert [is_finished(negative[:place], 9, 1, 0.1) for place in (1, 2, 3)] == [False, True, False]


def test_of_several_tasks_one_has_to_gain_the_minimum() -> None:
    history = [epoch(1, 2.0, one=0.5, two=0.5), epoch(2, 2.0, one=0.6, two=0.6)]  # ranks better at the same losses
    assert not is_finished(history, 9, 1) and is_finished(history, 9, 1, 0.01)
    gained = [history[0], replace(history[1], tasks={**history[1].tasks, "two.loss": 0.9})]
    assert not is_finished(gained, 9, 1, 0.05) and is_finished(gained, 9, 1, 0.2)


def test_the_best_epochs_of_a_phase_come_in_order() -> None:
    assert kept_epochs([epoch(1, 0.5), epoch(2, 0.4), epoch(3, 0.6)], 2) == [2, 1]
    assert kept_epochs([], 2) == [] and kept_epochs([epoch(1, 0.5)], 3) == [1]
    assert kept_epochs([epoch(1, 0.1, one=0.5, two=0.5), epoch(2, 9.0, one=0.6, two=0.6)], 1) == [2]
