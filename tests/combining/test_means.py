"""The mean of what several heads say, each kind by hand."""

import math

import pytest
import torch

from pocketvision.models.heads.catalog import HEADS, MEANS
from pocketvision.tasks.catalog import TASKS

TWO = [(0, 1), (1, 0)]


def test_every_kind_but_boxes_has_a_mean_whose_head_puts_out_the_kinds_roles() -> None:
    assert set(TASKS) - set(MEANS) == {"detection"}
    for kind, row in MEANS.items():
        assert HEADS[row.head].kind == kind and HEADS[row.head].roles == TASKS[kind].role_names


@pytest.mark.parametrize("of", ["probabilities", "logits"])
def test_classes_by_name_at_each_ones_temperature(of: str) -> None:
    """0.8 and 0.4 of the first class; the second network has its classes the other way round, and a temperature of 2."""
    one, other = math.log(0.8 / 0.2), math.log(0.4 / 0.6)
    said = [{"logits": torch.tensor([[one, 0.0]])}, {"logits": torch.tensor([[0.0, 2 * other]])}]
    found = MEANS["classification"].of(said, [{}, {"temperature": 2.0}], TWO, of)
    share = torch.softmax(found, dim=1)[0, 0].item()
    wanted = 0.6 if of == "probabilities" else 1 / (1 + math.exp(-(one + other) / 2))
    assert share == pytest.approx(wanted, abs=1e-6)


def test_classes_by_each_ones_scales() -> None:
    """0.8 and 0.4 of the first class once the second network's logits are halved, and then scaled and shifted by class."""
    one, other = math.log(0.8 / 0.2), math.log(0.4 / 0.6)
    said = [{"logits": torch.tensor([[one, 0.0]])}, {"logits": torch.tensor([[0.0, other - 1]])}]
    numbers = [{}, {"temperature": 2.0, "scales": [1.0, 2.0], "offsets": [0.0, 1.0]}]
    found = torch.softmax(MEANS["classification"].of(said, numbers, [(0, 1), (1, 0)], "probabilities"), dim=1)
    assert found[0, 0].item() == pytest.approx(0.6, abs=1e-6)


@pytest.mark.parametrize("of", ["probabilities", "logits"])
def test_tags_with_each_ones_scales(of: str) -> None:
    one, other = math.log(0.9 / 0.1), math.log(0.3 / 0.7)
    said = [{"logits": torch.tensor([[one, 0.0]])}, {"logits": torch.tensor([[0.0, (other - 1) / 2]])}]
    numbers = [{}, {"scales": [1.0, 2.0], "offsets": [0.0, 1.0]}]
    found = torch.sigmoid(MEANS["tags"].of(said, numbers, TWO, of))[0, 0].item()
    wanted = 0.6 if of == "probabilities" else 1 / (1 + math.exp(-(one + other) / 2))
    assert found == pytest.approx(wanted, abs=1e-6)


def test_numbers_in_the_firsts_standard_deviations() -> None:
    """30 and 40 years: 35, which is 1.5 deviations of 10 above 20."""
    said = [{"standardised": torch.tensor([[1.0]])}, {"standardised": torch.tensor([[2.0]])}]
    numbers = [{"scale": 10.0, "offset": 20.0}, {"scale": 5.0, "offset": 30.0}]
    assert MEANS["number"].of(said, numbers, [(), ()], "probabilities").tolist() == [[1.5]]


def test_masks_as_fine_as_the_finest() -> None:
    coarse, fine = torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 2, 2)
    coarse[0, 0] = math.log(3)
    found = MEANS["segmentation"].of(
        [{"logits": coarse}, {"logits": fine}], [{}, {}], [(0, 1), (0, 1)], "probabilities"
    )
    assert found.shape == (1, 2, 2, 2)
    torch.testing.assert_close(torch.softmax(found, dim=1)[0, 0], torch.full((2, 2), 0.625))
