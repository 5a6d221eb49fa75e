"""soup: one network whose weights are the mean of several trainings', as far as the validation images agree."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pocketvision.bundle import Bundle, require_place
from pocketvision.combining.members import hashes_of_all, headlines, new_to_all, require_alike
from pocketvision.combining.souping import STATISTICS_IMAGES, Taste, greedy_soup, require_same_network, validation_loss
from pocketvision.compression.bundle_images import calibration_images
from pocketvision.errors import AgreementError, UsageError
from pocketvision.export.shipping import ship
from pocketvision.models.rebuild import rebuilt
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.runtime.backends import open_backend
from pocketvision.statistics import Headline
from pocketvision.tasks.manifest import unmeasured
from pocketvision.training.learned_tasks import calibrated_on, objective_of
from pocketvision.workflows.pretrained import open_bundle


@dataclass(frozen=True)
class SoupResult:
    """The soup's bundle, what was tried, by the bundles' folders, and how good it and the best one alone are, by task."""

    bundle: Bundle
    tastes: tuple[tuple[str, Taste], ...]
    figures: dict[str, Headline]
    best: dict[str, Headline]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        tried = [{"bundle": folder, **asdict(taste)} for folder, taste in self.tastes]
        own, best = ({name: asdict(each) for name, each in of.items()} for of in (self.figures, self.best))
        return {"bundle": str(self.bundle.folder), "tried": tried, "figures": own, "best": best}


def soup(
    bundles: Sequence[str | Path],
    *,
    out: str | Path,
    data: str | Path | None = None,
    images: str | Path | None = None,
    on_event: OnEvent = silent,
) -> SoupResult:
    """Write the greedy soup of two or more bundles (or runs) of one network to `out`.

    The validation split of `data` (None: of the run that the first bundle lies in) decides which stay in, without images that one
    of them has learned from; its training split renews the statistics of norms where they differ.
    Raises AgreementError where no average is as good as the best alone: nothing is written. Raises UsageError for bundles of
    different networks.
    """
    read = [open_bundle(bundle) for bundle in bundles]
    require_alike(read)
    networks = [rebuilt(bundle) for bundle in read]
    require_same_network(read, networks)
    require_place(Path(out))
    judged_on = new_to_all(read, data, images, on_event)
    if not judged_on.truth:
        raise UsageError("A soup is judged on labelled images: give --data.")
    learned = partial(calibration_images, read[0], data, on_event, images, most=STATISTICS_IMAGES)
    objective = objective_of(judged_on.truth)
    on_event(Note(f"Tasting {len(read)} networks and their averages on {len(judged_on)} images"))
    found = greedy_soup(
        networks,
        lambda network: validation_loss(network, judged_on, objective),
        lambda: map(torch.from_numpy, learned().batches()),
    )
    tastes = tuple((str(read[each.place].folder), each) for each in found.tastes)
    if len(found.chosen) == 1:
        tried = ", ".join(f"{each.together:.4f} with {folder}" for folder, each in tastes[1:])
        raise AgreementError(
            f"No bundle was written: the validation loss of {tastes[0][0]} alone is {found.loss:.4f}, and no average comes to as "
            f"little ({tried}). Average trainings of one network from the same weights, by another seed or rate."
        )
    best = read[found.chosen[0]]
    written = ship(
        found.network,
        Path(out),
        tasks=unmeasured(best.tasks),
        preprocessing=best.preprocessing,
        load=judged_on.placed,
        names=[str(file) for file in judged_on.files],
        calibrate=calibrated_on(judged_on.truth),
        split="val",
        files=hashes_of_all([read[place] for place in found.chosen]),
    ).bundle
    own, alone = (headlines(each.tasks, judged_on, open_backend(each).run) for each in (written, best))
    return SoupResult(written, tastes, own, alone)
