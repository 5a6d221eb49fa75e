import numpy as np

from pocketvision.tasks.classification.coverage import THRESHOLDS, coverage


def test_coverage_falls_and_counts_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.45, 0.55]], np.float32)
    labels = np.array([0, 1, 1, 0])
    rows = {row.threshold: row for row in coverage(probabilities, labels, (0.0, 0.5, 0.58, 0.7, 0.85, 0.95))}
    assert [(row.answered, row.right) for row in rows.values()] == [(4, 2), (4, 2), (3, 2), (2, 2), (1, 1), (0, 0)]
    assert rows[0.7].coverage == 0.5 and rows[0.7].accuracy == 1.0
    assert rows[0.7].interval is not None and rows[0.7].interval.low < 0.5
    assert rows[0.95].accuracy is None and rows[0.95].interval is None
    shares = [row.coverage for row in coverage(probabilities, labels)]
    assert len(shares) == len(THRESHOLDS) and shares == sorted(shares, reverse=True)
