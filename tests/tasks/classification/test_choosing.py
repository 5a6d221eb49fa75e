"""A classifier's thresholds: what its very answers are with them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.tasks.classification.choosing import choose_thresholds, decide, share_at, sweep_of
from pocketvision.tasks.classification.decision import Decision
from pocketvision.tasks.classification.decode import classify
from pocketvision.tasks.classification.record import ClassRecord, stacked
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.manifest import TaskManifest, abstaining_below, undecided
from pocketvision.tasks.task import Detail
from pocketvision.tasks.thresholds import UnmetWishError, Wish

TWO, FOUR = ("dog", "cat"), ("a", "b", "c", "d")


def task_of(labels: tuple[str, ...], **postprocessing: object) -> TaskManifest:
    task = classifying(labels)["classification"]
    return replace(task, postprocessing={**task.postprocessing, **postprocessing})


def records_of(classes: int, images: int = 240, seed: int = 0, clear: float = 1.2) -> list[ClassRecord]:
    """Images with a noisy classifier's probabilities; the first class has half of them."""
    generator = np.random.default_rng(seed)
    labels = np.minimum(generator.integers(0, 2 * classes - 1, images) // 1, 2 * classes - 2)
    labels = np.where(labels < classes - 1, 0, labels - classes + 1)
    logits = generator.normal(size=(images, classes)) + clear * np.eye(classes)[labels]
    shares = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    return [
        ClassRecord(logits[row].astype(np.float32), shares[row].astype(np.float32), int(label))
        for row, label in enumerate(labels)
    ]


def figures(records: list[ClassRecord], task: TaskManifest, name: str) -> tuple[float, float]:
    """Precision and recall of a class, of the answers."""
    answers = stacked(decide(records, task))
    own = task.labels.index(name)
    said, true = answers.answers == own, answers.labels == own
    return float((said & true).sum() / max(said.sum(), 1)), float((said & true).sum() / true.sum())


def macro_f1(records: list[ClassRecord], task: TaskManifest) -> float:
    pairs = [figures(records, task, name) for name in task.labels]
    return float(np.mean([2 * p * r / (p + r) if p + r else 0.0 for p, r in pairs]))


def accuracy(records: list[ClassRecord], task: TaskManifest) -> float:
    answers = stacked(decide(records, task))
    return float((answers.answers == answers.labels).mean())


# Decisions by hand ------------------------------------------------------------------------------------------------------


def answered(labels: tuple[str, ...], row: list[float], **postprocessing: object) -> tuple[str, bool | None]:
    task = task_of(labels, **postprocessing)
    outputs = {"probabilities": np.array([row], np.float32)}
    (answer,) = classify(outputs, [Placement.of_decoding((4, 4))], task, Detail())
    assert answer.probability == pytest.approx(row[labels.index(answer.label)])
    assert answer.confidence == pytest.approx(max(row)), "what drift is told from knows no thresholds"
    return answer.label, answer.unsure


@pytest.mark.parametrize(
    ("row", "thresholds", "below", "expected"),
    [
        ([0.7, 0.3], None, None, ("dog", None)),
        ([0.7, 0.3], {"dog": 0.75, "cat": 0.25}, None, ("cat", False)),
        ([0.7, 0.3], {"dog": 0.65, "cat": 0.35}, None, ("dog", False)),
        ([0.25, 0.75], {"dog": 0.25, "cat": 0.75}, None, ("dog", False)),  # the first of equal ones
        ([0.7, 0.3], None, 0.71, ("dog", True)),
        ([0.75, 0.25], None, 0.75, ("dog", False)),
        # Shares of p / t: 0.7 / 0.75 = 0.933, 0.3 / 0.25 = 1.2; the answer's is 0.5625.
        ([0.7, 0.3], {"dog": 0.75, "cat": 0.25}, 0.57, ("cat", True)),
        ([0.7, 0.3], {"dog": 0.75, "cat": 0.25}, 0.56, ("cat", False)),
        ([1.0, 0.0], {"dog": 1.0, "cat": 0.0}, None, ("cat", False)),  # a threshold of 0 always wins
    ],
)
def test_answers_by_hand(
    row: list[float], thresholds: dict[str, float] | None, below: float | None, expected: tuple[str, bool | None]
) -> None:
    told = {} if thresholds is None else {"thresholds": thresholds}
    assert answered(TWO, row, **told, **({} if below is None else {"abstain_below": below})) == expected


def test_several_classes_are_decided_by_p_over_t() -> None:
    thresholds = {"a": 0.5, "b": 0.2, "c": 0.5, "d": 1.0}
    # p / t: 0.8, 1.0, 0.2, 0.3; the answer's share is 1 / 2.3.
    assert answered(FOUR, [0.4, 0.2, 0.1, 0.3], thresholds=thresholds, abstain_below=0.43) == ("b", False)
    assert answered(FOUR, [0.4, 0.2, 0.1, 0.3], thresholds=thresholds, abstain_below=0.44) == ("b", True)
    assert answered(FOUR, [0.4, 0.15, 0.1, 0.35], thresholds=thresholds) == ("a", False)


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({"thresholds": {"dog": 0.5, "cat": 1.5}}, r"\{'cat': 1.5\}; expected numbers from 0 to 1"),
        ({"thresholds": {"dog": 0.5, "cat": float("nan")}}, "expected numbers from 0 to 1"),
        ({"thresholds": {"dog": 0.5, "cat": True}}, "expected numbers from 0 to 1"),
        ({"thresholds": {"dog": 0.5}}, r"differ in \['cat'\]; expected one of each class"),
        ({"thresholds": {"dog": 0.5, "cat": 0.5, "cow": 0.5}}, r"differ in \['cow'\]"),
        ({"thresholds": 0.5}, "expected one of each class"),
        ({"abstain_below": -0.1}, "abstain_below is -0.1; expected a number from 0 to 1"),
        ({"abstain_below": "0.5"}, "expected a number from 0 to 1"),
    ],
)
def test_what_no_bundle_may_say(told: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Decision.of(task_of(TWO, **told))


# Wishes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["recall=0.9", "precision=0.8", "dog:recall=0.95", "dog:precision=0.95"])
def test_two_classes_get_what_is_wished_for(text: str) -> None:
    records, wish = records_of(2), Wish.parse(text)
    task = choose_thresholds(records, task_of(TWO), [wish])
    told = task.postprocessing["thresholds"]
    assert sum(told.values()) == pytest.approx(1)
    precision, recall = figures(records, task, wish.of or "cat")
    assert {"precision": precision, "recall": recall}[wish.name] >= (wish.value or 0) - 1e-9
    plain = figures(records, undecided(task), wish.of or "cat")
    assert plain[wish.name == "recall"] < (wish.value or 0), "the wish is not met without thresholds"
    assert task.postprocessing["thresholds_for"] == {"wishes": [text], "images": 240}


def test_the_positive_class_is_meant() -> None:
    records = records_of(2)
    by_name = choose_thresholds(records, task_of(TWO), [Wish("recall", 0.97, "dog")])
    by_positive = choose_thresholds(records, task_of(TWO), [Wish("recall", 0.97)], "dog")
    assert by_name.postprocessing["thresholds"] == by_positive.postprocessing["thresholds"]
    assert figures(records, by_positive, "dog")[1] >= 0.97


def test_a_cost_moves_the_threshold_to_the_dearer_mistake() -> None:
    """With honest probabilities a miss that costs five false alarms is worth it from 1 / 6 on."""
    generator = np.random.default_rng(1)
    shares = generator.random(20_000)
    labels = generator.random(20_000) < shares
    records = [
        ClassRecord(np.zeros(2, np.float32), np.array([1 - p, p], np.float32), int(y))
        for p, y in zip(shares, labels, strict=True)
    ]
    task = choose_thresholds(records, task_of(TWO), [Wish.parse("cost=5:1")])
    assert task.postprocessing["thresholds"]["cat"] == pytest.approx(1 / 6, abs=0.03)


@pytest.mark.parametrize("name", FOUR)
@pytest.mark.parametrize("text", ["recall=0.95", "precision=0.95"])
def test_one_of_several_classes_gets_what_is_wished_for(name: str, text: str) -> None:
    records = records_of(4, clear=2.5)
    wish = Wish.parse(f"{name}:{text}")
    task = choose_thresholds(records, task_of(FOUR), [wish])
    told = task.postprocessing["thresholds"]
    assert all(0 <= value <= 1 for value in told.values())
    others = [told[each] for each in FOUR if each != name]
    assert np.ptp(others) < 1e-12, "the others stay as they were to one another"
    index = wish.name == "recall"
    assert figures(records, task, name)[index] >= 0.95 - 1e-9
    if (name, wish.name) != ("a", "precision"):  # which it has already
        assert figures(records, undecided(task), name)[index] < 0.95


def test_wishes_of_single_classes_add_up() -> None:
    records = records_of(4)
    wishes = [Wish.parse("b:recall=0.8"), Wish.parse("d:precision=0.85")]
    task = choose_thresholds(records, task_of(FOUR), wishes)
    assert figures(records, task, "b")[1] >= 0.8 and figures(records, task, "d")[0] >= 0.85
    first = choose_thresholds(records, task_of(FOUR), wishes[:1])
    then = choose_thresholds(records, first, wishes[1:])
    ratio = {name: then.postprocessing["thresholds"][name] / first.postprocessing["thresholds"][name] for name in "abc"}
    assert np.ptp([*ratio.values()]) < 1e-12, "a later wish keeps the earlier ones' thresholds"


def test_a_wish_for_all_classes_is_for_their_mean() -> None:
    records = records_of(4, clear=0.9)
    before = macro_f1(records, task_of(FOUR))
    task = choose_thresholds(records, task_of(FOUR), [Wish("f1")])
    assert macro_f1(records, task) > before + 0.01
    cheapest = choose_thresholds(records, task_of(FOUR), [Wish("cost", 1.0)])
    assert accuracy(records, cheapest) >= accuracy(records, task_of(FOUR))
    each = choose_thresholds(records_of(4, clear=2.0), task_of(FOUR), [Wish("recall", 0.65)])
    assert min(figures(records_of(4, clear=2.0), each, name)[1] for name in FOUR) >= 0.65


def test_a_class_without_images_is_left_out_of_a_wish_for_all() -> None:
    records = [each for each in records_of(4) if each.label != 2]
    task = choose_thresholds(records, task_of(FOUR), [Wish("f1")])
    assert task.postprocessing["thresholds"].keys() == set(FOUR)
    with pytest.raises(UnmetWishError, match=f"c:recall=0.9: none of {len(records)} images is of 'c'"):
        choose_thresholds(records, task_of(FOUR), [Wish("recall", 0.9, "c")])


def test_what_can_be_met_is_said() -> None:
    with pytest.raises(
        UnmetWishError, match=r"cat:precision=1 can not be met: the highest precision for 'cat' on these"
    ):
        choose_thresholds(records_of(2, clear=0.3, seed=3), task_of(TWO), [Wish("precision", 1.0)])
    records = records_of(4, clear=0.3)
    with pytest.raises(
        UnmetWishError, match=r"b:precision=0.99 can not be met: .* is 0\.(\d\d), at threshold"
    ) as raised:
        choose_thresholds(records, task_of(FOUR), [Wish("precision", 0.99, "b")])
    assert raised.value.best is not None and raised.value.best.precision is not None
    complaint = r"The best thresholds found meet \d of 4, and give recall 0.\d\d of '[abcd]' \(wished: 0.9\)"
    with pytest.raises(UnmetWishError, match=complaint):
        choose_thresholds(records, task_of(FOUR), [Wish("recall", 0.9)])


def test_the_best_that_is_told_is_what_its_threshold_does() -> None:
    """The threshold in the message is one that can be set, whatever the shares behind it are."""
    records = records_of(4, clear=0.3)
    with pytest.raises(UnmetWishError) as raised:
        choose_thresholds(records, task_of(FOUR), [Wish("precision", 0.99, "b")])
    best = raised.value.best
    assert best is not None
    if best.threshold < 1:
        task = choose_thresholds(records, task_of(FOUR), [Wish("at", best.threshold, "b")])
        assert figures(records, task, "b")[0] == pytest.approx(best.precision)


def test_thresholds_can_be_told_without_images() -> None:
    task = choose_thresholds([], task_of(TWO), [Wish("at", 0.3)])
    assert task.postprocessing["thresholds"] == {"dog": 0.7, "cat": 0.3}
    task = choose_thresholds([], task_of(FOUR), [Wish("at", 0.2, "b"), Wish("at", 1.0, "c")])
    assert task.postprocessing["thresholds"] == {"a": 0.5, "b": 0.2, "c": 1.0, "d": 0.5}


@pytest.mark.parametrize(
    ("labels", "texts", "complaint"),
    [
        (TWO, ["f1", "recall=0.9"], "Two classes have one threshold, and 2 wishes are told: f1, recall=0.9"),
        (TWO, ["cats:f1"], "Unknown class 'cats'. Did you mean cat?"),
        (FOUR, ["a:f1", "a:recall=0.9"], "Two wishes are for 'a': a:f1 and a:recall=0.9"),
        (FOUR, ["0.3"], "With 4 classes a threshold is one class's: write CLASS:0.3"),
    ],
)
def test_wishes_that_do_not_fit_are_refused(labels: tuple[str, ...], texts: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        choose_thresholds(records_of(len(labels)), task_of(labels), [Wish.parse(text) for text in texts])


@pytest.mark.parametrize("below", [-0.01, 1.01, float("nan")])
def test_abstaining_outside_the_range_is_refused(below: float) -> None:
    with pytest.raises(UsageError, match="expected a score from 0 to 1"):
        abstaining_below(task_of(TWO), below)


def test_a_sweep_goes_through_the_point_that_decides() -> None:
    """The curve of the report: at a class's place it has the figures of the answers, with every other threshold as it is."""
    records = records_of(4)
    task = choose_thresholds(records, task_of(FOUR), [Wish("recall", 0.9, "b")])
    answers, thresholds = stacked(records), Decision.of(task).thresholds
    assert thresholds is not None
    for own, name in enumerate(FOUR):
        point = sweep_of(answers.probabilities, answers.labels, thresholds, own).at(share_at(thresholds, own))
        precision, recall = figures(records, task, name)
        assert (point.precision or 0.0, point.recall) == (pytest.approx(precision), pytest.approx(recall)), name


def test_small_differences_of_runtimes_change_no_answer() -> None:
    """Another runtime's probabilities differ by some 1e-6; the thresholds lie between those of the images they were chosen on."""
    records = records_of(2)
    task = choose_thresholds(records, task_of(TWO), [Wish("recall", 0.9)])
    generator = np.random.default_rng(4)

    def nudged(record: ClassRecord) -> ClassRecord:
        moved: NDArray[np.float32] = record.probabilities + np.float32(generator.uniform(-1e-5, 1e-5))
        return replace(record, probabilities=np.array([1 - moved[1], moved[1]], np.float32))

    before = stacked(decide(records, task)).answers
    assert (stacked(decide([nudged(each) for each in records], task)).answers == before).all()
