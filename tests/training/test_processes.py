"""Several processes train as one: the same losses, weights and cache; and all end when one does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn
from training import shared_job

from pocketvision.errors import UsageError
from pocketvision.models.row_draws import Share
from pocketvision.training.processes import ALONE, Processes, current, is_follower
from pocketvision.training.shared_model import shared


def started(*arguments: str, count: int = 2) -> list[subprocess.Popen[str]]:
    """`python ARGUMENTS` in as many processes, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    environment = os.environ | own | {"PYTHONPATH": os.pathsep.join(sys.path), "LOCAL_WORLD_SIZE": str(count)}
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env=environment | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]


def close(one: Sequence[float], other: Sequence[float], within: float) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) < within


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """The same global batch: the same loss curve within float error, the same cache to the last bit, one set of weights."""
    for name in ("images", "alone", "both", "out"):
        (tmp_path / name).mkdir()
    shared_job.write_images(tmp_path / "images")
    both = started(shared_job.__file__, *(str(tmp_path / name) for name in ("images", "both", "out")))
    alone = shared_job.job(tmp_path / "images", tmp_path / "alone", ALONE)
    for process in both:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    found = [json.loads((tmp_path / f"out/{rank}.json").read_text()) for rank in (0, 1)]
    for name in ("cached", "scratch", "mixed"):
        expected = alone[name]
        assert close(found[0][name]["losses"], expected["losses"], 1e-5), name
        assert close(found[0][name]["weights"], expected["weights"], 1e-3), name
        assert found[0][name]["same"] == found[1][name]["same"], name  # both have the same weights, bit by bit
    assert found[0]["rows"] == found[1]["rows"] == alone["rows"] != {}
    assert found[0]["segments"] > alone["segments"]  # each has written some
    files = [
        sorted(each.relative_to(run) for each in run.rglob("*"))
        for run in (tmp_path / "alone/run", tmp_path / "both/run")
    ]
    assert files[0] == files[1]
    expected = shared_job.gone_on(tmp_path / "images", tmp_path / "alone/scratch", 3)
    gone_on = shared_job.gone_on(tmp_path / "images", tmp_path / "both/scratch", 3)  # by another number of processes
    assert len(gone_on) == 9 and close(gone_on, expected, 1e-4)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", [0, 1, 2, 7, 32])
def test_shares_neither_repeat_nor_drop_a_row(rows: int, count: int) -> None:
    shares = [Processes(rank, count).share(rows) for rank in range(count)]
    assert [row for each in shares for row in range(each.begin, each.end)] == [*range(rows)]
    assert max(each.counted for each in shares) - min(each.counted for each in shares) <= 1
    if rows:
        assert all(len(range(rows)[each.shown]) == max(each.counted, 1) for each in shares)


def test_a_process_alone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(2, 2)
    with shared(model, ALONE) as same:
        assert same is model
    assert ALONE.from_first(lambda: 5) == 5 and ALONE.gathered("x") == ["x"] and current() == ALONE
    assert ALONE.total(torch.ones(2)).tolist() == [1, 1] and ALONE.share(9) == Share(9, 0, 9)
    monkeypatch.delenv("RANK", raising=False)
    assert not is_follower()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert is_follower()


def test_modules_are_exchanged_for_the_phase_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    names = [*model.state_dict()]
    with shared(model, Processes(0, 2)) as together:
        kinds = [type(each) for each in model]
        assert kinds[1] is not nn.BatchNorm2d and isinstance(model[1], nn.BatchNorm2d)
        assert kinds[2] is not nn.Dropout and [*model.state_dict()] == names
        assert [name for name, _ in together.named_parameters()] == [name for name, _ in model.named_parameters()]
    assert [type(each) for each in model] == [nn.Conv2d, nn.BatchNorm2d, nn.Dropout]


def test_other_norms_that_learn_are_refused() -> None:
    class OtherNorm(nn.BatchNorm2d):
        pass

    with pytest.raises(UsageError, match="whose norms are OtherNorm"), shared(OtherNorm(3).train(), Processes(0, 2)):
        pass
    with shared(OtherNorm(3).eval(), Processes(0, 2)):  # their statistics stay
        pass


@pytest.mark.slow
def test_when_one_is_killed_the_others_end_within_a_minute() -> None:
    """Though the first is at work by itself and waits for nobody."""
    joining = "from pocketvision.training.processes import joined\n"
    waiting = "import time\nwith joined():\n    print('here', flush=True)\n    time.sleep(300)\n"
    first, second = started("-c", joining + waiting)
    for process in (first, second):
        assert process.stdout is not None and any("here" in line for line in process.stdout)
    time.sleep(2)
    second.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    output, _ = first.communicate(timeout=60)
    assert time.monotonic() - killed < 60 and first.returncode == 1
    assert "Another process of this training has ended" in output and "go on with --resume" in output
    second.communicate()
