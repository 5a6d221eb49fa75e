"""Which number format "auto" means, and names that are none."""

import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.training.precision import PRECISIONS, multiplied_as, resolve_precision


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_f": True}, "float32"),
        ({}, "float32"),
    ],
)
def test_auto_is_what_the_cpu_has(
    capabilities: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert resolve_precision("auto") == expected


def test_auto_is_float32_where_pytorch_can_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision("auto") == "float32"


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_name_stands_for_itself(name: str) -> None:
    assert resolve_precision(name) == name


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"precision.*fp16.*bfloat16"):
        resolve_precision("fp16")


def test_onednn_multiplies_in_bfloat16_within_the_block_alone() -> None:
    modes = (torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul)
    before = [each.fp32_precision for each in modes]
    with pytest.raises(KeyError), multiplied_as("onednn_bfloat16"):
        assert [each.fp32_precision for each in modes] == ["bf16", "bf16"]
        with multiplied_as("float32"):
            assert [each.fp32_precision for each in modes] == ["ieee", "ieee"]
        assert [each.fp32_precision for each in modes] == ["bf16", "bf16"]
        raise KeyError
    assert [each.fp32_precision for each in modes] == before
