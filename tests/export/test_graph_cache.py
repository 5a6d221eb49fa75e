"""What the exporter made of a structure is kept, filled with other weights, and never taken for another network's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from pocketvision.export.structure import structure
from pocketvision.export.to_onnx import session_of, write_graph

EXAMPLE = torch.zeros(2, 3, 8, 8)


class Scaled(nn.Module):
    """A convolution, a linear layer and a plain setting."""

    def __init__(self, seed: int, scale: float = 2.0, act: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.convolution = nn.Conv2d(3, 4, 3)
            self.linear = nn.Linear(4, 2)
        nn.init.zeros_(self.linear.bias)
        self.scale = scale
        self.act = act
        self.register_buffer("order", torch.tensor([1, 0]))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.act(self.convolution(images)).mean((2, 3))
        answer: Tensor = self.linear(pooled)[:, self.order] * self.scale
        return answer


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """One entry for each run of torch's exporter; nothing is kept yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found: list[str] = []
    export = torch.onnx.export

    def counted(*given: Any, **named: Any) -> Any:
        found.append(type(given[0]).__name__)
        return export(*given, **named)

    monkeypatch.setattr(torch.onnx, "export", counted)
    return found


def written(module: nn.Module, path: Path) -> bytes:
    write_graph(module, path, example=EXAMPLE, outputs=("answer",), metadata={"labels": "[]"})
    return path.read_bytes()


def answer(path: Path, module: nn.Module) -> float:
    """The largest difference between the file and the module."""
    images = torch.randn(3, 3, 8, 8)
    found = session_of(path)({"images": images.numpy()})["answer"]
    return float(np.abs(found - module(images).detach().numpy()).max())


def test_a_structure_is_converted_once_and_every_weight_is_its_own(conversions: list[str], tmp_path: Path) -> None:
    first = written(Scaled(0), tmp_path / "a.onnx")
    assert written(Scaled(1), tmp_path / "b.onnx") != first
    assert written(Scaled(0), tmp_path / "a.onnx") == first
    assert conversions == ["Scaled"]
    assert answer(tmp_path / "a.onnx", Scaled(0)) < 1e-6
    assert answer(tmp_path / "b.onnx", Scaled(1)) < 1e-6
    onnx.checker.check_model(onnx.load(tmp_path / "b.onnx"), full_check=True)
    assert onnx.load(tmp_path / "b.onnx").metadata_props[0].key == "labels"


def test_other_settings_and_other_integers_are_other_structures() -> None:
    turned = Scaled(0)
    turned.order.copy_(torch.tensor([0, 1]))
    others = [Scaled(0, scale=3.0), Scaled(0, act=torch.tanh), turned, Scaled(0).train()]
    digests = [structure(each, EXAMPLE, ("answer",)) for each in (Scaled(0), *others)]
    digests += [structure(Scaled(0), EXAMPLE[:, :, :4], ("answer",)), structure(Scaled(0), EXAMPLE, ("other",))]
    assert None not in digests and len(set(digests)) == 7
    assert structure(Scaled(1), EXAMPLE, ("answer",)) == digests[0]


def times(factor: object) -> Callable[[Tensor], Tensor]:
    """A closure over `factor`."""
    return lambda values: torch.relu(values) * float(factor)  # type: ignore[arg-type]


class Three:
    """What its contents are can not be seen."""

    def __float__(self) -> float:
        return 3.0


def test_what_a_function_closes_over_is_seen() -> None:
    three, again, four = (structure(Scaled(0, act=times(factor)), EXAMPLE, ()) for factor in (3.0, 3.0, 4.0))
    assert three is not None and three == again != four


def test_what_can_not_be_seen_has_none() -> None:
    hooked = Scaled(0)
    hooked.linear.register_forward_hook(lambda _layer, _given, answered: answered + 1)
    assert structure(Scaled(0, act=times(Three())), EXAMPLE, ()) is None
    assert structure(hooked, EXAMPLE, ()) is None


@pytest.mark.slow
def test_a_graph_whose_weights_the_exporter_computes_with_is_tried_once(conversions: list[str], tmp_path: Path) -> None:
    class Summed(Scaled):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) * self.linear.bias.exp()

    for seed in (0, 1):
        module = Summed(seed)
        written(module, tmp_path / "a.onnx")
        assert answer(tmp_path / "a.onnx", module) < 1e-6
    assert conversions == ["Summed"] * 3


def test_a_kept_graph_that_is_wrong_is_not_taken(conversions: list[str], tmp_path: Path) -> None:
    written(Scaled(0), tmp_path / "a.onnx")
    (kept,) = (tmp_path / "cache" / "pocketvision" / "graphs").iterdir()
    another = onnx.load(kept)
    another.graph.node[-1].op_type = "Div"
    for damage in (kept.read_bytes()[:40], another.SerializeToString()):
        kept.write_bytes(damage)
        written(Scaled(0), tmp_path / "a.onnx")
        assert answer(tmp_path / "a.onnx", Scaled(0)) < 1e-6
    assert len(conversions) == 3


@pytest.mark.slow
def test_a_cache_that_can_not_be_written_costs_only_time(conversions: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    for _ in range(2):
        written(Scaled(0), tmp_path / "a.onnx")
    assert answer(tmp_path / "a.onnx", Scaled(0)) < 1e-6
    assert len(conversions) == 2
