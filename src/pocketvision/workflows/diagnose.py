"""diagnose: what ails a finished training, each finding with its evidence and one next step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision.bundle import MANIFEST, Bundle, read_bundle
from pocketvision.compression.bundle_images import calibration_images, measuring_images
from pocketvision.diagnosis.finding import Finding, worst_first
from pocketvision.diagnosis.history_findings import ran_away, too_short, waits_for_data
from pocketvision.diagnosis.looking import figure_findings, inside_findings
from pocketvision.errors import UsageError
from pocketvision.models.rebuild import rebuilt
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.training.run_folder import RunFolder, RunSettings


@dataclass(frozen=True)
class Diagnosis:
    """Of a run, the worst findings first."""

    run: Path
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"run": str(self.run), "findings": [each.to_dict() for each in self.findings]}


def diagnose(run: str | Path, *, pictures: int = 600, on_event: OnEvent = silent) -> Diagnosis:
    """Look at a finished run of any task: its epochs, its bundle on at most `pictures` training and validation pictures each, and
    its network inside. Nothing is changed.

    Raises UsageError for what is no run, one that is not finished or of a newer version, one whose pictures are gone, and fewer
    pictures than 10.
    """
    if pictures < 10:
        raise UsageError(f"--pictures is {pictures}; expected 10 or more, for figures that say something.")
    folder, settings, bundle = _read(Path(run))
    history = folder.read_history()
    if not history:
        raise UsageError(f"{folder.folder / 'history.csv'} has no epochs. Finish the run: --resume {folder.folder}")
    training = calibration_images(bundle, None, on_event, most=pictures)
    held = measuring_images(bundle, None, on_event, most=pictures)
    found = [too_short(history), ran_away(history), waits_for_data(history)]
    on_event(Note(f"Answering {len(training)} training and {len(held)} validation pictures"))
    found += figure_findings(bundle, training, held)
    on_event(Note("Looking into the network"))
    found += inside_findings(rebuilt(bundle), settings.recipe, training, held)
    return Diagnosis(folder.folder, tuple(worst_first(found)))


def _read(path: Path) -> tuple[RunFolder, RunSettings, Bundle]:
    folder = RunFolder(path.parent if (path / MANIFEST).is_file() else path)
    settings = RunSettings.read(folder)
    if not (folder.bundle / MANIFEST).is_file() or not (folder.folder / "history.csv").is_file():
        raise UsageError(
            f"{folder.folder} is not finished (its status is {settings.status!r}): there is no bundle to look into. Go on with "
            f"it: pocketvision train --resume {folder.folder}"
        )
    return folder, settings, read_bundle(folder.bundle)
