"""Drift: what a model answers now, beside the baseline that its bundle brought."""

import logging
from collections import deque
from collections.abc import Mapping

from pocketvision.baseline import Distribution, bin_of, edges_of, stability_index
from pocketvision.printable import counted
from pocketvision.serving.telemetry import DriftMetrics

logger = logging.getLogger(__name__)

WINDOW = 1000
"""Images that the stability index looks back on."""

MIN_WINDOW, MIN_BASELINE = 500, 200
"""With fewer images on either side chance alone moves the index towards 0.1 (tests/test_baseline.py): none is given then."""

UPDATE_EVERY = 50
"""Images between two updates of the index."""


class DriftMonitor:
    """The last answers of one model. One event loop's, so nothing is locked."""

    def __init__(self, model: str, baseline: Mapping[str, Distribution], figures: DriftMetrics) -> None:
        self._model = model
        self._figures = figures
        usable = {feature: each for feature, each in baseline.items() if each.edges == edges_of(feature)}
        unfit = {feature: reason for feature, each in usable.items() if (reason := _unusable(each))}
        self._windows = {feature: _Window(each) for feature, each in usable.items() if feature not in unfit}
        figures.clear(model)
        for feature, each in usable.items():
            figures.set_baseline(model, feature, each)
        if not usable:
            missing = "the bundle's baseline is in other bins" if baseline else "the bundle has no baseline"
            logger.info(
                "%s: %s, so drift is not measured; write one with: pocketvision evaluate BUNDLE IMAGES --baseline",
                model,
                missing,
            )
        for feature, reason in unfit.items():
            logger.info("%s: drift of %s is not measured: %s", model, feature, reason)

    def record(self, feature: str, value: float) -> None:
        """Take one image's value, and update the index every UPDATE_EVERY images."""
        window = self._windows.get(feature)
        if window is None:
            return
        window.take(value)
        if window.seen >= MIN_WINDOW and window.seen % UPDATE_EVERY == 0:
            index = window.index()
            if index is not None:
                self._figures.index.labels(self._model, feature).set(index)

    def close(self) -> None:
        """Record nothing more: what is still in flight belongs to a model that was replaced."""
        self._windows.clear()


def _unusable(baseline: Distribution) -> str:
    """Why a baseline can not be judged by; empty when it can."""
    if baseline.images < MIN_BASELINE:
        return f"the baseline is of {counted(baseline.images, 'image')}; {MIN_BASELINE} are the least"
    if stability_index(baseline.counts, baseline.counts) is None:
        return "nearly all of the baseline's images are in one bin"
    return ""


class _Window:
    """The bins of the last WINDOW values of a feature."""

    def __init__(self, expected: Distribution) -> None:
        self._expected = expected
        self._bins: deque[int] = deque(maxlen=WINDOW)
        self._counts = [0] * len(expected.edges)
        self.seen = 0

    def take(self, value: float) -> None:
        """Take a value; the oldest goes when the window is full."""
        if len(self._bins) == WINDOW:
            self._counts[self._bins[0]] -= 1
        place = bin_of(self._expected.edges, value)
        self._bins.append(place)
        self._counts[place] += 1
        self.seen += 1

    def index(self) -> float | None:
        """Of the values in the window against the baseline."""
        return stability_index(self._expected.counts, self._counts)
