"""ensemble: several bundles as one, whose answers are the mean of theirs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketvision.bundle import Bundle, require_place
from pocketvision.combining.ensembling import ensemble_of, require_mean, ship_ensemble
from pocketvision.combining.members import headlines, new_to_all, require_alike
from pocketvision.models.heads.mean import SHARES
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.runtime.backends import open_backend
from pocketvision.statistics import Headline
from pocketvision.workflows.pretrained import open_bundle


@dataclass(frozen=True)
class EnsembleResult:
    """The ensemble's bundle, and how good it and each member are on the same images, by task; empty without labelled ones."""

    bundle: Bundle
    figures: dict[str, Headline]
    members: dict[str, dict[str, Headline]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {folder: {name: asdict(each) for name, each in own.items()} for folder, own in self.members.items()}
        own = {name: asdict(each) for name, each in self.figures.items()}
        return {"bundle": str(self.bundle.folder), "figures": own, "members": plain}


def ensemble(
    bundles: Sequence[str | Path],
    *,
    out: str | Path,
    mean: str = SHARES,
    data: str | Path | None = None,
    images: str | Path | None = None,
    on_event: OnEvent = silent,
) -> EnsembleResult:
    """Write the ensemble of two or more bundles (or runs, or pre-trained networks by name) to `out`.

    mean: of probabilities or of logits. Temperature and thresholds are found anew on the validation split of `data` (None: of the
    run that the first bundle lies in), without images that one of them has learned from.
    Raises UsageError for bundles that see images or name their answers otherwise, and for kinds whose answers have no mean.
    """
    read = [open_bundle(bundle) for bundle in bundles]
    require_alike(read)
    require_mean(read[0], mean)
    require_place(Path(out))
    network = ensemble_of(read, mean)
    measured_on = new_to_all(read, data, images, on_event)
    on_event(Note(f"Writing the mean of {len(read)} networks"))
    written = ship_ensemble(read, network, measured_on, Path(out))
    figures = {
        str(each.folder): headlines(each.tasks, measured_on, open_backend(each).run) for each in (written, *read)
    }
    own = figures.pop(str(written.folder))
    return EnsembleResult(written, own, figures)
