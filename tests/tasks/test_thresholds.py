"""Thresholds by a wish: against figures worked by hand, and against a search through every threshold."""

import numpy as np
import pytest

from pocketvision.errors import UsageError
from pocketvision.tasks.thresholds import OperatingPoint, Sweep, UnmetWishError, Wish, choose

# Ten images, by score:    .95   .9    .8    .7    .6    .5     .4     .3     .2     .1
SCORES = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1], np.float32)
TRUTH = np.array([False, True, True, True, False, True, False, False, True, False])


def point(wish: str) -> OperatingPoint:
    return choose(SCORES, TRUTH, Wish.parse(wish))


@pytest.mark.parametrize(
    ("wish", "threshold", "hits", "false_alarms"),
    [
        ("f1", 0.45, 4, 2),  # 8/11; at 0.65 it is 6/9 = 0.667, at 0.15 it is 10/14
        ("precision=0.75", 0.65, 3, 1),
        ("precision=0.66", 0.45, 4, 2),
        ("recall=0.8", 0.45, 4, 2),
        ("recall=0.9", 0.15, 5, 4),
        ("recall=0.2", 0.65, 3, 1),  # the best precision, not the highest threshold
        ("cost=5:1", 0.15, 5, 4),  # 4 false alarms; at 0.45 it would be 5 + 2
        ("cost=1:5", 0.975, 0, 0),  # 5 misses; at 0.65 it would be 2 + 5
        ("0.55", 0.55, 3, 2),
        ("0.5", 0.5, 4, 2),
        ("1", 1.0, 0, 0),
        ("0", 0.0, 5, 5),
    ],
)
def test_figures_worked_by_hand(wish: str, threshold: float, hits: int, false_alarms: int) -> None:
    found = point(wish)
    assert found.threshold == pytest.approx(threshold)
    assert found == OperatingPoint(found.threshold, hits, false_alarms, 5 - hits, 10)
    said = hits + false_alarms
    assert found.precision == (hits / said if said else None)
    assert found.recall == hits / 5
    assert found.f1 == pytest.approx(2 * hits / (said + 5))


@pytest.mark.parametrize("wish", ["f1", "precision=0.7", "recall=0.85", "cost=4:1"])
@pytest.mark.parametrize("seed", range(4))
def test_no_threshold_does_better(wish: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.random(200) < 0.3
    scores = np.clip(generator.normal(0.35 + 0.3 * truth, 0.2), 0, 1).round(2).astype(np.float32)
    asked = Wish.parse(wish)
    found = choose(scores, truth, asked)
    said = scores >= found.threshold
    assert (found.hits, found.false_alarms) == ((said & truth).sum(), (said & ~truth).sum()), "it does what it says"

    def worth(threshold: float) -> float:
        told = scores >= threshold
        hits, misses, alarms = (told & truth).sum(), (~told & truth).sum(), (told & ~truth).sum()
        precision, recall = hits / max(told.sum(), 1), hits / truth.sum()
        value = asked.value or 0.0
        worths: dict[str, float] = {
            "f1": 2 * hits / (told.sum() + truth.sum()),
            "precision": recall if precision >= value else -1.0,
            "recall": precision if recall >= value else -1.0,
            "cost": -(value * misses + alarms),
        }
        return worths[asked.name]

    assert worth(found.threshold) == pytest.approx(max(worth(each) for each in np.linspace(0, 1, 2001)))


def test_small_differences_of_runtimes_change_no_answer() -> None:
    """Thresholds lie between scores, and of equally good ones in the widest gap."""
    found = point("f1")
    assert np.abs(SCORES - found.threshold).min() > 0.04
    scores, truth = np.array([0.01, 0.02, 0.9, 0.91]), np.array([False, False, False, True])
    assert choose(scores, truth, Wish.parse("recall=1")).threshold == pytest.approx(0.905)
    # One false alarm or one miss cost the same: a cut in the gap from 0 to 0.2 is safer than one from 0.9 to 0.91.
    scores, truth = np.array([0.2, 0.9, 0.91]), np.array([True, False, True])
    assert choose(scores, truth, Wish.parse("cost=1:1")).threshold == pytest.approx(0.1)


def test_scores_at_the_ends() -> None:
    """Nothing is above a score of 1, and everything is at or above 0."""
    scores, truth = np.array([0.0, 1.0, 1.0]), np.array([True, True, False])
    sweep = Sweep.of(scores, truth)
    assert sweep.thresholds.tolist() == [0.0, 0.5]
    assert choose(scores, truth, Wish.parse("recall=1")).hits == 2
    assert choose(scores, truth, Wish.parse("cost=0.1:1")).false_alarms == 1, "a score of 1 can not be left out"


def test_a_sweep_knows_every_threshold() -> None:
    sweep = Sweep.of(SCORES, TRUTH)
    for threshold in np.linspace(0, 1, 101):
        said = threshold <= SCORES
        found = sweep.at(float(threshold))
        assert (found.hits, found.false_alarms) == ((said & TRUTH).sum(), (said & ~TRUTH).sum()), threshold


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("f1", Wish("f1")),
        ("precision=0.95", Wish("precision", 0.95)),
        ("cost=5:1", Wish("cost", 5.0)),
        ("cost=1:4", Wish("cost", 0.25)),
        ("0.3", Wish("at", 0.3)),
        ("1e-3", Wish("at", 0.001)),
        ("cat:f1", Wish("f1", of="cat")),
        ("cat:0.3", Wish("at", 0.3, "cat")),
        ("cat:cost=5:1", Wish("cost", 5.0, "cat")),
        ("a:b=1:recall=0.9", Wish("recall", 0.9, "a:b=1")),
    ],
)
def test_wishes_are_written_as_they_are_read(text: str, wish: Wish) -> None:
    assert Wish.parse(text) == wish
    assert Wish.parse(wish.text) == wish


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("recal=0.9", "Unknown wish for a threshold 'recal'. Did you mean recall?"),
        ("recall", "The wish 'recall' for a threshold is incomplete"),
        ("f1=0.9", "The wish 'f1=0.9' for a threshold is incomplete"),
        ("recall=much", "'much' is no number"),
        ("recall=1.2", "A recall of 1.2 is wished for; expected a share above 0 and up to 1."),
        ("precision=0", "A precision of 0 is wished for"),
        ("precision=nan", "A precision of nan is wished for"),
        ("cost=5:0", "A miss costs 0 false alarms"),
        ("cost=-1:1", "A miss costs -1 false alarms"),
        ("1.5", r"The threshold 1.5 is outside \[0, 1\]"),
        ("-0.1", r"The threshold -0.1 is outside \[0, 1\]"),
        ("cats:0.5", "Unknown class 'cats'. Did you mean cat?"),
        ("", "'' is no wish for a threshold. Write it as in f1, precision=0.95"),
        ("=0.9", "'=0.9' is no wish"),
    ],
)
def test_what_is_no_wish_is_said(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Wish.parse(text, ["cat", "dog"])


def test_a_precision_that_can_not_be_had_is_told_with_the_highest() -> None:
    complaint = (
        r"precision=0.9 can not be met: the highest precision for the class on these 10 images is 0.75, at threshold 0.65 "
        r"\(recall 0.60\)"
    )
    with pytest.raises(UnmetWishError, match=complaint):
        point("precision=0.9")


@pytest.mark.parametrize("wish", ["f1", "recall=0.9", "cost=5:1"])
def test_a_class_without_images_has_no_threshold(wish: str) -> None:
    with pytest.raises(UnmetWishError, match=f"for cat:{wish}: none of 10 images is of 'cat'"):
        choose(SCORES, np.zeros(10, np.bool_), Wish.parse(f"cat:{wish}"))
