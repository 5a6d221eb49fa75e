"""Fixtures of the verbs' tests."""

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.evaluation.latency import Latency, Run, measure_latency


@pytest.fixture(scope="module", autouse=True)
def short_measurements() -> Iterator[None]:
    """prune takes seconds for its latencies, at every trial; nothing here is said about how long an answer takes."""

    def shortly(runs: Mapping[str, Run], images: NDArray[np.float32], *, seconds: float = 0.0) -> dict[str, Latency]:
        return measure_latency(runs, images, seconds=min(seconds, 0.02), batch=2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pocketvision.compression.pruning.measure_latency", shortly)
        yield
