"""A training as one side of a benchmark: in a process of its own, told epoch by epoch on stderr, its result in JSON."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketvision.workflows.training_run import TrainResult


def run_apart(script: Path, data: Path, options: list[str], settings: list[str], *, what: str) -> dict[str, Any]:
    """What `script DATA OPTIONS --result FILE --set …` writes into that file. what: the side, for the message where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, str(script), str(data.resolve()), *options, "--result", str(result)]
        command += [text for each in settings for text in ("--set", each)]
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # as the command line sets it
        if subprocess.run(command, stdout=sys.stderr, cwd=folder, env=environment, check=False).returncode:
            raise SystemExit(f"{what} failed")
        found: dict[str, Any] = json.loads(result.read_text())
        return found


def trained(arguments: argparse.Namespace) -> tuple["TrainResult", dict[str, Any], dict[str, Any]]:
    """Our training of `arguments.data` with `arguments.set`, beside `arguments.result`: its result, what it is by the last set of
    pictures, and how long it took."""
    from pocketvision.progress import EpochEnded, Event
    from pocketvision.workflows.train import train

    started = time.perf_counter()

    def note(event: Event) -> None:
        if isinstance(event, EpochEnded):
            passed, record = time.perf_counter() - started, event.record
            told = f"{passed:.0f} s, phase {record.stage}, epoch {record.epoch}: {record.val_accuracy:.3f}"
            print(told, file=sys.stderr, flush=True)

    found = train(arguments.data, out=Path(arguments.result).parent / "run", settings=arguments.set, on_event=note)
    took = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time(),
        "epoch_seconds": [record.seconds for record in found.history],
    }
    return found, found.evaluations[-1].to_dict(), took
