"""Trackers that a run's figures go to besides its own files, through Accelerate's: TensorBoard, MLflow, Weights & Biases.

None of them reaches for the network unless its own environment variables name a server: TensorBoard's events lie in the run,
MLflow's store in `mlruns` beside it, and W&B is offline.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from pocketvision.errors import MissingExtraError, unknown_name


class Tracker(Protocol):
    """What is used of accelerate.tracking.GeneralTracker."""

    @property
    def tracker(self) -> Any:
        """The tracker's own object of the run."""

    def start(self) -> None: ...

    def store_init_configuration(self, values: dict[str, Any]) -> None: ...

    def log(self, values: dict[str, float], step: int | None = None) -> None: ...

    def finish(self) -> None: ...


@dataclass(frozen=True)
class TrackerRow:
    """extra: of pyproject.toml, which installs it. packages: by import name.

    make: from a run's folder and the identity that the tracker gave the run when it began (None then). identity: of the run, once
    it has started; "" where the folder is all.
    """

    extra: str
    packages: Sequence[str]
    make: Callable[[Path, str | None], Tracker]
    identity: Callable[[Tracker], str] = lambda _: ""


def _tensorboard(folder: Path, identity: str | None) -> Tracker:
    """Event files in the run's `tensorboard/`; those of a run that goes on lie beside the earlier ones and are read as one."""
    from accelerate.tracking import TensorBoardTracker

    del identity
    _begin_accelerate()
    tracker: Tracker = TensorBoardTracker("tensorboard", logging_dir=folder)
    return tracker


def _mlflow(folder: Path, identity: str | None) -> Tracker:
    """MLFLOW_TRACKING_URI, or files in `mlruns` beside the run, so that runs can be compared."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from accelerate.tracking import MLflowTracker

    if not os.environ.get("MLFLOW_TRACKING_URI"):
        # MLflow 3 asks for a database unless it is told that files are meant.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        mlflow.set_tracking_uri((folder.resolve().parent / "mlruns").as_uri())
    _begin_accelerate()
    tracker: Tracker = MLflowTracker("pocketvision", run_id=identity, run_name=folder.resolve().name)
    return tracker


def _wandb(folder: Path, identity: str | None) -> Tracker:
    """Offline, in the run's `wandb/`, unless WANDB_MODE says otherwise; `wandb sync` sends it."""
    from accelerate.tracking import WandBTracker

    _begin_accelerate()
    tracker: Tracker = WandBTracker(
        "pocketvision",
        dir=str(folder),
        id=identity,
        name=folder.resolve().name,
        resume="allow",
        mode=os.environ.get("WANDB_MODE", "offline"),
    )
    return tracker


def _begin_accelerate() -> None:
    """Its trackers ask which process they are in; the processes are set up by us (processes.py)."""
    from accelerate import PartialState

    PartialState(cpu=True)


TRACKERS: Mapping[str, TrackerRow] = {
    "tensorboard": TrackerRow("tensorboard", ("accelerate", "tensorboard"), _tensorboard),
    "mlflow": TrackerRow("mlflow", ("accelerate", "mlflow"), _mlflow, lambda each: str(each.tracker.info.run_id)),
    "wandb": TrackerRow("wandb", ("accelerate", "wandb"), _wandb, lambda each: str(each.tracker.id)),
}


def tracker_names(given: str | Iterable[str] | None) -> list[str]:
    """The names, each once, of a list or of a text with commas between them.

    Raises UsageError for a tracker that there is not, and MissingExtraError for one that is not installed.
    """
    parts = given.split(",") if isinstance(given, str) else given or ()
    names = list(dict.fromkeys(each.strip() for each in parts if each.strip()))
    for name in names:
        if name not in TRACKERS:
            raise unknown_name("tracker", name, TRACKERS)
        row = TRACKERS[name]
        if any(find_spec(package) is None for package in row.packages):
            raise MissingExtraError(f"The tracker {name}", row.extra)
    return names
