"""Classification: names, probabilities and order."""

import numpy as np
import pytest

from pocketvision.tasks.classification.answer import Classification


def classification(*probabilities: float) -> Classification:
    labels = tuple("abcdefgh"[: len(probabilities)])
    return Classification(labels, np.array(probabilities, dtype=np.float32))


def test_the_most_probable_class() -> None:
    answer = classification(0.1, 0.7, 0.2)
    assert (answer.label, answer.index) == ("b", 1)
    assert answer.probability == pytest.approx(0.7)
    assert "'b'" in repr(answer)


def test_top_is_descending_with_ties_in_index_order() -> None:
    answer = classification(0.25, 0.1, 0.4, 0.25)
    assert [label for label, _ in answer.top(3)] == ["c", "a", "d"]
    assert answer.top(1)[0][0] == answer.label
    assert len(answer.top(10)) == 4
    assert answer.top(0) == []


def test_a_wrong_number_of_probabilities_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2,\); expected \(3,\)"):
        Classification(("a", "b", "c"), np.zeros(2, dtype=np.float32))
