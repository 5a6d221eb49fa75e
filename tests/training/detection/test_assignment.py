"""Which cell learns which object, worked by hand on a few cells."""

import pytest
import torch

from pocketvision.training.detection import assignment
from pocketvision.training.detection.assignment import MOST_CELLS, assign
from pocketvision.training.detection.losses import pairwise_ious

NONE = torch.zeros(0, dtype=torch.bool)


def cells(*centres: tuple[float, float], side: float = 8) -> torch.Tensor:
    return torch.tensor([[x, y, side] for x, y in centres])


def test_an_object_takes_the_cells_in_it_that_fit_best() -> None:
    """IoUs 1, 1/2 and 1 with scores 0.5, 0.8 and 0.9; the last cell's centre lies outside.

    Alignments are the scores' square roots times the sixth powers of the overlaps."""
    boxes = torch.tensor([[0.0, 0, 16, 16], [0, 0, 16, 8], [0, 0, 16, 16]])
    scores = torch.tensor([[0.5, 0.1], [0.8, 0.1], [0.9, 0.1]])
    found = assign(
        boxes,
        scores,
        cells((4, 4), (12, 4), (20, 4)),
        torch.tensor([[0.0, 0, 16, 16]]),
        torch.tensor([0]),
        ~NONE.new_ones(1),
    )
    assert found.objects.tolist() == [0, 0, -1]
    assert found.quality.tolist() == pytest.approx([1.0, (0.8**0.5 / 64) / 0.5**0.5, 0.0])
    assert not found.ignored.any()


def test_with_one_cell_an_object_takes_the_best_of_several() -> None:
    """Alignments 0.5 and 0.8 / 64, as above: the same first cell."""
    found = assign(
        torch.tensor([[0.0, 0, 16, 16], [0, 0, 16, 8]]),
        torch.tensor([[0.5], [0.8]]),
        cells((4, 4), (12, 4)),
        torch.tensor([[0.0, 0, 16, 16]]),
        torch.tensor([0]),
        ~NONE.new_ones(1),
        most=1,
    )
    assert found.objects.tolist() == [0, -1] and found.quality.tolist() == [1.0, 0.0]


def test_the_best_cell_is_to_score_its_overlap() -> None:
    """IoU 1/2 at best: nobody is asked to be surer than that."""
    found = assign(
        torch.tensor([[0.0, 0, 16, 8], [0, 0, 4, 16]]),
        torch.tensor([[0.3], [0.3]]),
        cells((4, 4), (12, 4)),
        torch.tensor([[0.0, 0, 16, 16]]),
        torch.tensor([0]),
        ~NONE.new_ones(1),
    )
    assert found.quality.tolist() == pytest.approx([0.5, 0.5 * (0.25 / 0.5) ** 6])
    assert found.share.tolist() == pytest.approx([1.0, (0.25 / 0.5) ** 6])


def test_a_cell_that_two_want_learns_the_one_it_overlaps_more() -> None:
    objects = torch.tensor([[0.0, 0, 16, 16], [0, 0, 16, 12]])
    found = assign(
        torch.tensor([[0.0, 0, 16, 12]]),
        torch.tensor([[0.9, 0.1]]),
        cells((4, 4)),
        objects,
        torch.tensor([0, 1]),
        torch.zeros(2, dtype=torch.bool),
    )
    assert found.objects.tolist() == [1] and found.quality.tolist() == pytest.approx([1.0])


def test_an_object_smaller_than_a_cell_still_has_one() -> None:
    found = assign(
        torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8]]),
        torch.tensor([[0.1], [0.1]]),
        cells((4, 4), (12, 4)),
        torch.tensor([[0.0, 6, 2, 8]]),
        torch.tensor([0]),
        torch.zeros(1, dtype=torch.bool),
    )
    assert found.objects.tolist() == [0, -1]
    assert found.quality.tolist() == pytest.approx([4 / 64, 0])


def test_no_object_takes_more_than_the_most() -> None:
    places = [(x + 0.5, y + 0.5) for x in range(5) for y in range(5)]
    boxes = torch.tensor([[0.0, 0, 5, 5]]).repeat(25, 1)
    scores = torch.linspace(0.1, 0.9, 25)[:, None]
    found = assign(
        boxes, scores, cells(*places, side=1), boxes[:1], torch.tensor([0]), torch.zeros(1, dtype=torch.bool)
    )
    assert (found.objects == 0).nonzero()[:, 0].tolist() == list(range(25 - MOST_CELLS, 25))


def test_nothing_is_asked_within_a_crowd_but_of_objects_in_it() -> None:
    objects = torch.tensor([[0.0, 0, 16, 8], [0, 0, 8, 8]])
    boxes = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8], [16, 0, 24, 8]])
    found = assign(
        boxes,
        torch.full((3, 1), 0.5),
        cells((4, 4), (12, 4), (20, 4)),
        objects,
        torch.tensor([0, 0]),
        torch.tensor([True, False]),
    )
    assert found.objects.tolist() == [1, -1, -1]
    assert found.ignored.tolist() == [False, True, False]


def test_a_background_asks_for_nothing() -> None:
    found = assign(
        torch.rand(3, 4), torch.rand(3, 2), torch.rand(3, 3), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), NONE
    )
    assert found.objects.tolist() == [-1] * 3 and not found.quality.any() and not found.ignored.any()


def test_thousands_of_objects_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same result as all at once, and never more pairs than AT_ONCE together."""
    random = torch.Generator().manual_seed(0)
    grid = torch.cartesian_prod(torch.arange(32.0), torch.arange(32.0)) * 8 + 4
    where = torch.cat([grid, torch.full((1024, 1), 8.0)], dim=1)
    boxes = torch.cat([grid - 6, grid + 6], dim=1) + torch.rand(1024, 4, generator=random) * 4
    scores = torch.rand(1024, 3, generator=random)
    corner = torch.rand(2000, 2, generator=random) * 240
    objects = torch.cat([corner, corner + 2 + 14 * torch.rand(2000, 2, generator=random)], dim=1)
    given = boxes, scores, where, objects, torch.arange(2000) % 3, torch.arange(2000) % 50 == 0
    whole, pairs = assign(*given), []

    def counted(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        pairs.append(len(one) * len(other))
        return pairwise_ious(one, other)

    monkeypatch.setattr(assignment, "pairwise_ious", counted)
    monkeypatch.setattr(assignment, "AT_ONCE", 100_000)
    parts = assign(*given)
    assert len(pairs) > 20 and max(pairs) <= 100_000
    for name in ("objects", "quality", "ignored", "share"):
        assert torch.equal(getattr(parts, name), getattr(whole, name)), name
    assert (whole.objects >= 0).sum() > 500 and whole.ignored.any()


def test_an_object_is_learned_on_the_level_for_its_size() -> None:
    """The levels are for objects of 48 and of 96 pixels: their geometric mean, 67.9, lies between."""
    fine, coarse = cells((20, 20), (44, 44), side=8), cells((32, 32), side=16)
    boxes = torch.tensor([[0.0, 0, 64, 64]]).repeat(3, 1)
    for side, learned in ((67.0, [0, 0, -1]), (69.0, [-1, -1, 0])):
        found = assign(
            boxes,
            torch.full((3, 1), 0.5),
            torch.cat([fine, coarse]),
            torch.tensor([[0.0, 0, side, side]]),
            torch.tensor([0]),
            torch.zeros(1, dtype=torch.bool),
        )
        assert found.objects.tolist() == learned
