"""A picture of what a training would learn from, without training."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketvision.progress import OnEvent, silent
from pocketvision.training.batch_picture import write_first_batch
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_folder import RunFolder, RunSettings
from pocketvision.training.run_log import RunLog
from pocketvision.training.starting import start
from pocketvision.workflows.training_run import prepared


def show_batch(
    data: str | Path,
    file: str | Path,
    recipe: Recipe,
    *,
    format: str | None = None,
    task: str | None = None,
    labels: list[str] | None = None,
    columns: Mapping[str, Any] | None = None,
    images: str | Path | None = None,
    on_event: OnEvent = silent,
) -> int:
    """Write a picture of the first batch that a training by `recipe` on `data` would learn images from, its boxes and masks
    drawn; how many images it shows. columns: as RunSettings has them. Raises UsageError as a training would."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        settings = RunSettings(
            data=str(Path(data).resolve()),
            columns=dict(columns or {}),
            labels=labels,
            recipe=recipe,
            data_fingerprint="",
            status="started",
            images=None if images is None else str(Path(images).resolve()),
            format=format,
            task=task,
        )
        log = RunLog(run.log, on_event)
        settings, found = prepared(run, settings, None, log, on_event)
        _, preprocessing, _ = start(settings.recipe, found.learned, found.white_level, None, log)
        return write_first_batch(Path(file), settings.recipe, found, preprocessing)
