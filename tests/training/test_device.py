"""The device that is chosen, what is sent there and comes back, with fakes in the place of GPUs; losses scaled for float16, on
the CPU, which PyTorch's scaler knows too."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from plain_backbone import PLAIN
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.models.catalog import build
from pocketvision.training import device as module
from pocketvision.training import phase_models
from pocketvision.training.checkpoint import read_checkpoint, write_checkpoint
from pocketvision.training.device import begin_gpu_peak, device_of, gpu_memory, returned, sent
from pocketvision.training.engine import State
from pocketvision.training.inputs import IMAGES
from pocketvision.training.measured_precision import precision_of
from pocketvision.training.phase_models import FromImages, FromScratch
from pocketvision.training.recipe import Recipe
from pocketvision.training.settings import OptimizerSettings
from pocketvision.training.update import update


def found_here(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False, bfloat16: bool = True) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bfloat16)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found_here(monkeypatch)
    assert device_of("auto") == device_of("cpu") == "cpu"
    found_here(monkeypatch, mps=True)
    assert device_of("auto") == device_of("mps") == "mps"
    found_here(monkeypatch, cuda=2, mps=True)
    assert device_of("auto") == device_of("cuda") == "cuda:0"
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device_of("cuda") == "cuda:1"
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UsageError, match="Process 2 has no GPU of its own: there are 2"):
        device_of("cuda")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_gpu_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found_here(monkeypatch)
    with pytest.raises(UsageError, match=rf"--device is {name}, which PyTorch does not find here \(it has: cpu\)"):
        device_of(name)


def test_a_gpu_computes_in_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(device="cuda")
    found_here(monkeypatch, cuda=1)
    assert [precision_of(replace(recipe, precision=each)) for each in ("auto", "measured", "float32")] == [
        "bfloat16",
        "bfloat16",
        "float32",
    ]
    found_here(monkeypatch, cuda=1, bfloat16=False)
    assert precision_of(recipe) == "float16" and replace(recipe, precision="float16").precision == "float16"


class Pinned:
    """A tensor on the CPU that notes how it is sent."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.steps: list[object] = []

    def pin_memory(self) -> "Pinned":
        self.steps.append("pinned")
        return self

    def to(self, device: torch.device, non_blocking: bool = False) -> "Pinned":
        self.steps.append((device.type, non_blocking))
        return self


def test_batches_are_sent_from_pinned_memory_to_cuda_alone() -> None:
    to_cuda, to_mps = Pinned(), Pinned()
    sent({"images": to_cuda}, torch.device("cuda:0"))  # type: ignore[dict-item]
    sent({"images": to_mps}, torch.device("mps"))  # type: ignore[dict-item]
    assert to_cuda.steps == ["pinned", ("cuda", True)] and to_mps.steps == [("mps", False)]


def test_a_network_elsewhere_is_sent_to_and_answers_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On `meta`, which computes shapes alone: what runs on another device than the CPU is told of."""
    model = FromImages(build(PLAIN, num_classes=3)).to("meta")
    seen: list[str] = []

    def cpu(outputs: module.ByTask) -> module.ByTask:
        seen.extend(values.device.type for roles in outputs.values() for values in roles.values())
        return {
            task: {role: torch.zeros(each.shape) for role, each in roles.items()} for task, roles in outputs.items()
        }

    monkeypatch.setattr(phase_models, "returned", cpu)
    made = model({IMAGES: torch.zeros(2, 3, 32, 32)})["classification"]["logits"]
    assert seen == ["meta"] and made.device.type == "cpu" and made.shape == (2, 3)
    values = torch.ones(1, requires_grad=True)
    returned({"one": {"x": values * 2}})["one"]["x"].sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None and values.grad.item() == 2


def test_a_gpu_s_memory_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    reset: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 3_000_000)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 2_000_000)
    for name, expected in (("cuda:0", 3.0), ("mps", 2.0), ("cpu", 0.0)):
        begin_gpu_peak(torch.device(name))
        assert gpu_memory(torch.device(name)) == expected
    assert reset == [torch.device("cuda:0")]


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.line = nn.Linear(3, 2)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        return {"one": {"logits": self.line(inputs["x"])}}


def stepped(settings: OptimizerSettings, scaler: torch.amp.GradScaler | None, times: float = 1.0) -> Tensor:
    model = Line()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, labels = {"x": torch.randn(6, 3, generator=torch.Generator().manual_seed(1))}, torch.arange(6) % 2
    update(
        model,
        inputs,
        lambda outputs: times * F.cross_entropy(outputs["one"]["logits"], labels),
        dict(model.named_parameters()),
        optimizer,
        settings,
        scaler,
    )
    return torch.cat([each.detach().flatten() for each in model.parameters()])


@pytest.mark.parametrize(
    "settings", [OptimizerSettings(), OptimizerSettings(clip=0.01), OptimizerSettings(accumulate=2, sam=0.05)]
)
def test_scaled_losses_take_the_same_step(settings: OptimizerSettings) -> None:
    """Clipped by the true gradients; the sharp step goes up the true ones."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    assert torch.allclose(stepped(settings, scaler), stepped(settings, None), atol=1e-7)


@pytest.mark.parametrize("settings", [OptimizerSettings(), OptimizerSettings(sam=0.05)])
def test_a_scale_that_is_too_high_is_lowered_and_the_step_left_out(settings: OptimizerSettings) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1)
    begun = torch.cat([each.detach().flatten() for each in Line().parameters()])
    assert torch.equal(stepped(settings, scaler, times=8.0), begun) and scaler.get_scale() == 2.0**126


def test_a_checkpoint_keeps_the_scale(tmp_path: Path) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    stepped(OptimizerSettings(), scaler)
    optimizer: dict[str, object] = {"state": {}, "param_groups": []}
    state = State({}, {}, {}, optimizer, {}, (), 0, False, scaler=scaler.state_dict())
    write_checkpoint(tmp_path / "checkpoint.safetensors", state)
    again = torch.amp.GradScaler("cpu")
    again.load_state_dict(dict(read_checkpoint(tmp_path / "checkpoint.safetensors").scaler))
    assert again.state_dict() == scaler.state_dict() and again.get_scale() == 64.0


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_losses_are_taken_in_single_precision(precision: torch.dtype) -> None:
    made = FromScratch(build(PLAIN, num_classes=3), precision)({IMAGES: torch.zeros(2, 3, 32, 32)})
    assert made["classification"]["logits"].dtype == torch.float32
