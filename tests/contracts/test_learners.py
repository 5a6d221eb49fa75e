"""Every learner of the table, and one of an installed package: it learns what truth says through placements, from named parts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bright_spots.installed import install
from bright_spots.truth import Points
from plain_backbone import PLAIN

from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.preprocessing import Placement
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.ragged import Ragged
from pocketvision.tasks.segmentation.truth import MaskLabels
from pocketvision.tasks.tags.truth import TagLabels
from pocketvision.tasks.truth import Truth
from pocketvision.training.detection.learner import Targets
from pocketvision.training.learned_tasks import head_specs, objective_of
from pocketvision.training.learner import Learner
from pocketvision.training.learners import LEARNERS, learner_named
from pocketvision.training.mixing import Mix
from pocketvision.training.regression import Solvable
from pocketvision.training.segmentation.learner import MaskLearner

SIZE = 32
TRUTHS: dict[str, Truth] = {
    "classification": ClassLabels(np.array([0, 1, 2, 1, 0, 2], np.int32), ("a", "b", "c")),
    "tags": TagLabels.of([[0], [1], [0, 2], [1], [0], [2]], ("a", "b", "c")),
    "number": NumberLabels(np.array([3.0, -1, 4, 1, -5, 9]), "cm"),
    "detection": BoxLabels.of(
        [
            ([[2, 2, 16, 14]], [0]),
            ([[4, 10, 15, 30], [18, 1, 31, 14]], [1, 2]),
            ([[8, 9, 28, 25]], [2]),
            ([], []),
            ([[0, 16, 12, 32]], [0]),
            ([[16, 0, 32, 20]], [1]),
        ],
        ("a", "b", "c"),
    ),
    "segmentation": MaskLabels.of_arrays(
        [np.roll(np.arange(SIZE) * 3 // SIZE, 5 * place)[None].repeat(SIZE, 0).astype(np.uint8) for place in range(6)],
        ("a", "b", "c"),
    ),
    "spots": Points(
        Ragged.of(
            [{"xy": np.array(xy, np.float32).reshape(-1, 2)} for xy in ([], [(3.5, 5)], [(9.5, 9), (30.5, 1)]) * 2]
        ),
        np.ones(6, np.bool_),
    ),
}
"""Of six images; of each kind one, whose learning is put to the test. A new kind of task needs a line here."""


@pytest.fixture(params=[*LEARNERS, "spots"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name: str = request.param
    return name


@dataclass
class Case:
    learner: Learner
    network: Network
    truth: Truth
    images: torch.Tensor

    def outputs(self) -> dict[str, torch.Tensor]:
        features = self.network.features(self.images, self.network.features_read)
        return next(iter(self.network.on_features(features).values()))

    def targets(self, rows: list[int], placement: Placement) -> Any:
        return self.learner.targets(self.truth, np.array(rows), [placement] * len(rows))


@pytest.fixture
def case(kind: str) -> Case:
    torch.manual_seed(0)
    truth = {kind: TRUTHS[kind]}
    network = Network(PLAIN, head_specs(truth, 0.0))
    return Case(objective_of(truth).learners[kind], network, truth[kind], torch.randn(6, 3, SIZE, SIZE))


WHOLE = Placement.of_decoding((SIZE, SIZE))


def test_a_row_says_what_it_is(kind: str) -> None:
    row = learner_named(kind)
    assert row.kind == kind
    assert head_specs({kind: TRUTHS[kind]})[kind].head == row.head


def test_the_loss_has_named_parts_and_falls(case: Case) -> None:
    targets, optimizer = case.targets(list(range(6)), WHOLE), torch.optim.Adam(case.network.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        parts = case.learner.loss(case.outputs(), targets)
        assert parts and all(isinstance(name, str) and part.ndim == 0 for name, part in parts.items())
        total = sum(parts.values(), torch.zeros(()))
        losses.append(total.item())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert np.isfinite(losses).all() and losses[-1] < 0.5 * losses[0]
    right, judged = case.learner.right(case.outputs(), targets)
    assert 0 <= right <= judged and right > 0.8 * judged


@torch.no_grad()
def test_validation_takes_batches_as_it_takes_all_at_once(case: Case) -> None:
    case.network.eval()
    outputs = case.outputs()
    halves = [
        case.learner.record(
            {role: values[rows] for role, values in outputs.items()}, case.targets(list(range(6))[rows], WHOLE)
        )
        for rows in (slice(0, 3), slice(3, 6))
    ]
    whole = [case.learner.record(outputs, case.targets(list(range(6)), WHOLE))]
    found = case.learner.validated(halves)
    assert np.isfinite(found.loss) and 0 <= found.figure <= 1
    assert (found.loss, found.figure) == pytest.approx(
        (case.learner.validated(whole).loss, case.learner.validated(whole).figure), rel=1e-5
    )
    settings = case.learner.calibrate(halves)
    assert json.loads(json.dumps(settings)) == settings == case.learner.calibrate(whole)


def test_what_is_solved_is_judged_as_it_is_validated(case: Case) -> None:
    """A closed form's predictions, brought to what the head puts out, are worth what was said of them."""
    if not isinstance(case.learner, Solvable):
        assert isinstance(case.truth, Points | BoxLabels | MaskLabels)
        return
    targets = case.targets(list(range(6)), WHOLE)
    regression = case.learner.regression(targets, len(case.truth.class_names))
    noise = np.random.default_rng(0).standard_normal(regression.targets.shape).astype(np.float32)
    exact, near = (
        regression.judge(regression.targets + share * noise, np.arange(6)).figure
        for share in (np.float32(0), np.float32(1.5))
    )
    assert exact == pytest.approx(1, abs=1e-6) and near < exact
    rows = np.array([5, 0, 2, 3])
    said = regression.targets[rows] + np.float32(0.8) * noise[rows]
    judged = regression.judge(said, rows)
    (role,) = case.outputs()
    outputs = {role: torch.from_numpy(said * judged.scales + judged.offsets)}
    found = case.learner.validated([case.learner.record(outputs, targets[rows])])
    assert found.figure == pytest.approx(judged.figure)
    assert 0.6 * judged.loss < found.loss < 1.05 * judged.loss + 0.02  # a scale that is found anew fits no worse


def test_the_score_of_a_choice_is_one_number_an_image_with_gradients(case: Case) -> None:
    score = case.learner.score_of(case.outputs(), 1)
    assert score.shape == (6,) and score.requires_grad


def test_targets_are_where_the_placement_brings_them(case: Case) -> None:
    """What a mirrored view is to learn is the mirror image of what the clean one is, where it has a place at all."""
    mirror = np.array([[-1.0, 0, SIZE], [0, 1, 0], [0, 0, 1]])
    clean, mirrored = case.targets([1, 2], WHOLE), case.targets([1, 2], WHOLE.then(mirror, (SIZE, SIZE)))
    if isinstance(clean, torch.Tensor):
        assert torch.equal(clean, mirrored)
    elif isinstance(clean, Targets):
        for one, other in zip(clean.placed, mirrored.placed, strict=True):
            assert torch.equal(SIZE - one.boxes[:, [2, 0]], other.boxes[:, [0, 2]]) and len(one.boxes)
            assert torch.equal(one.boxes[:, [1, 3]], other.boxes[:, [1, 3]]) and torch.equal(one.classes, other.classes)
    elif isinstance(case.learner, MaskLearner):
        cells = torch.zeros(2, 3, 8, 8)
        one, other = (case.learner.masks(cells, each) for each in (clean, mirrored))
        assert torch.equal(one.flip(-1), other) and not torch.equal(one, other)
    else:
        assert all(torch.equal(clean[role].flip(-1), mirrored[role]) and clean[role].any() for role in clean)


def test_an_unknown_kind_is_refused_with_those_that_are_near() -> None:
    with pytest.raises(UsageError, match=r"Unknown learner 'clasification'\. Did you mean classification"):
        learner_named("clasification")


@pytest.mark.parametrize("name", ["tags", "number"])
@torch.no_grad()
def test_what_is_mixed_lies_in_between(name: str) -> None:
    learner = objective_of({name: TRUTHS[name]}).learners[name]
    targets = learner.targets(TRUTHS[name], np.arange(6), [WHOLE] * 6)
    mixed = learner.mixed(targets, Mix(torch.tensor([1, 0, 2, 3, 4, 5]), 0.75))
    torch.testing.assert_close(mixed[0], 0.75 * targets[0] + 0.25 * targets[1])
    assert torch.equal(mixed[2:], targets[2:])
