"""The Pareto front: what no other point beats in everything."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.errors import UsageError
from pocketvision.evaluation.pareto import PlotPoint, check_plot, pareto_front, write_plot


def test_what_is_beaten_in_everything_is_not_on_the_front() -> None:
    points = {"fast": (1.0, 9.0), "good": (5.0, 1.0), "worse": (6.0, 2.0), "slower": (1.5, 9.0), "between": (3.0, 4.0)}
    assert pareto_front(points) == {"fast", "good", "between"}


def test_equals_stand_together() -> None:
    assert pareto_front({"a": (1, 2), "b": (1, 2), "c": (1, 3)}) == {"a", "b"}
    assert pareto_front({}) == set()


def test_every_point_off_the_front_is_beaten_by_one_on_it() -> None:
    rng = np.random.default_rng(0)
    points = {str(index): tuple(point) for index, point in enumerate(rng.integers(0, 6, (60, 3)).tolist())}
    front = pareto_front(points)
    for name, point in points.items():
        beaten = [other for other in front if points[other] != point and np.all(np.array(points[other]) <= point)]
        assert (name in front) == (not beaten)


def test_a_plot_is_drawn_with_its_budget(tmp_path: Path) -> None:
    points = [PlotPoint(f"{ms} ms", ms, 90 - 20 / ms, ms != 4, ms == 2) for ms in (1.0, 2.0, 4.0)]
    drawn = {}
    for limit, suffix in product((None, 3.0), ("png", "svg")):
        path = tmp_path / f"{limit}.{suffix}"
        write_plot(path, points, cost="milliseconds", value="accuracy, %", limit=limit)
        drawn[limit, suffix] = path
    assert "Pareto front" in (text := drawn[3.0, "svg"].read_text()) or "<svg" in text
    with Image.open(drawn[None, "png"]) as plain, Image.open(drawn[3.0, "png"]) as limited:
        assert plain.size == limited.size
        assert np.any(np.asarray(plain) != np.asarray(limited)), "the budget's line"


def test_a_plot_that_can_not_be_written_is_refused_before_the_work() -> None:
    with pytest.raises(UsageError, match=r"--plot x\.pdf: expected a name that ends in \.png or \.svg"):
        check_plot(Path("x.pdf"))
