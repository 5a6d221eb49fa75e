"""A run: the folder that a training leaves, and the names of what lies in it."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from pocketvision.atomic_files import write_json
from pocketvision.bundle import versions
from pocketvision.data.sources import several_tasks
from pocketvision.errors import UsageError
from pocketvision.progress import EpochRecord
from pocketvision.training import recipe_file
from pocketvision.training.history import read_history
from pocketvision.training.recipe import Recipe
from pocketvision.training.recipe_file import read_recipe, write_recipe
from pocketvision.training.setting_values import changed

FORMAT_VERSION = 3
"""Of run.json. 3: the recipe is a file of its own, and phases are trained by one engine. 1 and 2 held flat settings."""

_ELSEWHERE = ("recipe", "min_per_class", "versions")
"""Of run.json: what the recipe has now, and what only people read."""


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run. `stage1/` and `stage2/` hold checkpoints and best weights, `cache/` the trunk cache while training."""

    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / "run.json"

    @property
    def recipe(self) -> Path:
        return self.folder / recipe_file.NAME

    @property
    def architecture(self) -> Path:
        """The rows that the run was given as a file."""
        return self.folder / "architecture.json"

    @property
    def split(self) -> Path:
        return self.folder / "split.csv"

    @property
    def audit(self) -> Path:
        return self.folder / "audit.json"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def pictures(self) -> Path:
        """What was handed over from Python, and a table of it."""
        return self.folder / "data"

    @property
    def tasks(self) -> Path:
        """The tasks and sources that were named to the run."""
        return self.folder / several_tasks.FILE

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def stage_weights(self, number: int) -> Path:
        return self.folder / f"stage{number}" / "best.safetensors"

    def read_history(self) -> list[EpochRecord]:
        """The epochs of history.csv. Raises UsageError when it can not be read."""
        return read_history(self.folder)


@dataclass(frozen=True)
class RunSettings:
    """What a run was started with, so that it can be resumed: `run.json`, and beside it the recipe. data: absolute; in the files,
    what lies inside the run is relative to it, so that the run may be moved. columns: of read_samples. minutes: what it is
    still to be planned for; a plan that was made is in the recipe. add_to: the bundle that heads are added to, absolute.
    trackers: names (trackers.py)."""

    data: str
    columns: dict[str, Any]
    labels: list[str] | None
    recipe: Recipe
    data_fingerprint: str
    status: str
    lang: str = "en"
    positive: str | None = None
    images: str | None = None
    ship_hashes: bool = True
    format: str | None = None
    task: str | None = None
    minutes: float | None = None
    add_to: str | None = None
    trackers: list[str] = field(default_factory=list)
    format_version: int = FORMAT_VERSION

    def write(self, run: RunFolder) -> None:
        """Write recipe.toml and run.json, each whole or not at all."""
        folder = run.folder.resolve()

        def within(name: str) -> str:
            return Path(name).relative_to(folder).as_posix() if Path(name).is_relative_to(folder) else name

        write_recipe(run.recipe, changed(self.recipe, {"model.name": within(self.recipe.model.name)}))
        own = {name: value for name, value in self.__dict__.items() if name != "recipe"}
        made_with = {**versions(), "threads": torch.get_num_threads()}
        write_json(
            run.settings,
            {"format_version": self.format_version, **own, "data": within(self.data), "versions": made_with},
        )

    def require_resumable(self, run: RunFolder) -> None:
        """Raise UsageError, naming the version that can, where this one would go on otherwise than the run began."""
        if self.format_version < FORMAT_VERSION:
            raise UsageError(
                f"{run.folder} was begun by PocketVision 0.1.0, which drew batches and steps otherwise: the run would go on as "
                "another one. Finish it with that version (pip install pocketvision==0.1.0), or train anew with its settings: "
                f"pocketvision train DATA --recipe {run.folder}"
            )

    @classmethod
    def read(cls, run: RunFolder) -> "RunSettings":
        """Read run.json. Raises UsageError when there is none or it is of another version."""
        try:
            values: dict[str, Any] = json.loads(run.settings.read_text(encoding="utf-8"))
            if type(values["format_version"]) is not int or values["format_version"] > FORMAT_VERSION:
                raise UsageError(
                    f"{run.settings} is of format {values['format_version']}, and this PocketVision reads formats up to "
                    f"{FORMAT_VERSION}. Upgrade it with: pip install --upgrade pocketvision"
                )
            recipe = read_recipe(run.recipe if "recipe" not in values else run.settings)
            values = {name: value for name, value in values.items() if name not in _ELSEWHERE}
            values["data"] = str(run.folder.resolve() / values["data"])
            return cls(recipe=recipe, **values)
        except FileNotFoundError as error:
            raise UsageError(
                f"{run.folder} is not a run: it has no run.json. Expected a folder that `train` made. One that was killed in "
                "its first second can be removed: train anew."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{run.settings} can not be read: {error}.") from error


def new_run_folder(out: Path | None, data: Path) -> RunFolder:
    """Make the folder of a new run: `out`, or runs/NAME (then NAME-2 …) after the data. An `out` in use is a UsageError."""
    if out is None:
        name = data.stem if data.suffix else data.resolve().name
        candidates = [Path("runs") / (name if number == 1 else f"{name}-{number}") for number in range(1, 10_000)]
        out = next(path for path in candidates if not path.exists())
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} exists already. Name another folder, or go on with that run: --resume {out}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out} can not be made: {error.strerror}.") from error
    return RunFolder(out)


def timestamp() -> str:
    """Now, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
