"""A pipeline of two processes on CPUs has the losses and the weights of one process."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from plain_backbone import PLAIN
from torch import Tensor
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.models.catalog import build
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.training.optimizer import make_optimizer
from pocketvision.training.pipeline import ByTask, train_pipeline
from pocketvision.training.settings import OptimizerSettings

STEPS, LR = 6, 3e-3


def made() -> Network:
    torch.manual_seed(0)
    return build(PLAIN, num_classes=3, dropout=0.0)


def batches() -> list[tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(1)
    return [(torch.randn(8, 3, 32, 32, generator=random), torch.arange(8) % 3) for _ in range(STEPS)]


def cross_entropy(outputs: ByTask, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs["classification"]["logits"], targets)


def part(rank: int, folder: str) -> None:
    """One of two processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    network = made()
    losses = train_pipeline(network, [2], batches(), cross_entropy, lr=LR)
    np.savez(
        f"{folder}/{rank}.npz", losses=losses, **{name: each.numpy() for name, each in network.state_dict().items()}
    )
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_train_to_the_loss_of_one(tmp_path: Path) -> None:
    mp.spawn(part, (str(tmp_path),), nprocs=2)  # type: ignore[attr-defined, no-untyped-call]
    alone = made().eval()
    optimizer = make_optimizer(dict(alone.named_parameters()), OptimizerSettings(), lr=LR)
    expected = []
    for images, targets in batches():
        optimizer.zero_grad()
        loss = cross_entropy(alone.on_features(alone.features(images, alone.features_read)), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        expected.append(loss.item())
    assert expected[-1] < expected[0]
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as found:
            assert found["losses"] == pytest.approx(expected, rel=1e-5)
            for name, each in alone.state_dict().items():
                assert np.allclose(found[name], each.numpy(), atol=1e-4), name


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ([], "2 processes hold 2 parts, which 1 cuts part; there are 0 cuts"),
        ([0], "expected rising numbers from 1 to"),
        ([9], "expected rising numbers from 1 to"),
    ],
)
def test_cuts_that_do_not_fit(cuts: list[int], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    with pytest.raises(UsageError, match=message):
        train_pipeline(made(), cuts, [], cross_entropy, lr=LR)


def test_heads_below_the_last_cut_and_uneven_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    with pytest.raises(UsageError, match="A batch of 6 images is not 4 equal parts"):
        train_pipeline(made(), [2], [(torch.zeros(6, 3, 32, 32), torch.zeros(6))], cross_entropy, lr=LR)
    network = Network(PLAIN, {"boxes": HeadSpec("grid_p2", 2)})
    with pytest.raises(UsageError, match="which lies below the last cut"):
        train_pipeline(network, [len(network.stages)], [], cross_entropy, lr=LR)
