"""What a split may not part: groups that are named, and likely ones where the evidence is strong."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.capture_orders import capture_orders
from pocketvision.data.likely_groups import FEWEST, LikelyGroups, likely_groups
from pocketvision.data.path_groups import groups_of_paths
from pocketvision.data.samples import Samples
from pocketvision.data.splits import make_split, unite
from pocketvision.errors import UsageError, WeightsError, unknown_name
from pocketvision.printable import counted, shortened
from pocketvision.training.data_settings import DataSettings
from pocketvision.training.frozen_features import frozen_features
from pocketvision.training.run_log import RunLog

MOST = 50_000
"""Images above which a training does not look: features take 3 minutes there, and the search grows with the square of a class."""

AUTO, NONE = "auto", "none"
"""Of `data.group`. Anything else is a pattern where it has a parenthesis, and else a column."""


def group_column(wanted: str) -> dict[str, str]:
    """What read_samples is told, where `wanted` (`data.group`) is a table's column."""
    return {} if wanted in (AUTO, NONE) or "(" in wanted else {"group_column": wanted}


def grouped_as(samples: Samples, wanted: str, log: RunLog) -> Samples:
    """The samples with the groups that are wanted, and a line of those that a pattern finds. UsageError for a column where there
    is none, and as groups_of_paths does."""
    if wanted == NONE:
        return replace(samples, groups=None)
    if "(" in wanted:
        found = groups_of_paths(samples.paths, wanted)
        grouped = found[found >= 0]
        log.note(
            f"{counted(len(grouped), 'image')} in {counted(len(np.unique(grouped)), 'group')} by {shortened(wanted)}, "
            f"{len(found) - len(grouped):,} by themselves."
        )
        return replace(samples, groups=found)
    if wanted != AUTO and samples.groups is None:
        near = unknown_name("group", wanted, (AUTO, NONE))
        raise UsageError(
            f"{near} There is no such column in {samples.root}; expected auto, none, a column of a table, or a pattern "
            r"whose first parentheses find the group in a path, such as (person\d+)."
        )
    return samples


def search_groups(samples: Samples, *, workers: int, max_pixels: int, log: RunLog) -> LikelyGroups | None:
    """The likely groups of readable samples; None where nobody has looked: few pictures, or in groups of their own; or, which is
    said, without classes, too many, or without the network that looks at them."""
    if len(samples) < FEWEST or samples.groups is not None:
        return None
    if samples.classes is None:
        if samples.splits is None:
            log.note(
                "Pictures of the same object or scene were not looked for: chance is told by those of other classes, and these "
                "pictures are in none. --group takes a column or a pattern of paths that names such groups."
            )
        return None
    if len(samples) > MOST:
        log.note(
            f"Likely groups were not searched: {len(samples):,} images are more than {MOST:,}. `pocketvision check --groups` "
            "looks for them, and --group takes a column or a pattern of paths that names them."
        )
        return None
    try:
        features, _ = frozen_features(samples, workers=workers, max_pixels=max_pixels)
    except WeightsError as error:
        log.note(f"Likely groups were not searched: {error}")
        return None
    return likely_groups(features, samples.labels, capture_orders(samples))


def kept_together(
    clusters: NDArray[np.int64], likely: LikelyGroups, samples: Samples, settings: DataSettings, seed: int, log: RunLog
) -> NDArray[np.int64]:
    """(n) clusters that a split may not part, the likely groups among them; a line says so.

    The clusters as they were where `samples` has a validation of its own, or where the groups would leave a class in one split
    only: that is said too.
    """
    if samples.splits is not None and len(samples.split_indices("val")):
        log.note(f"{likely.text} The splits given stay as they are.")
        return clusters
    _, first, member_of = np.unique(clusters, return_index=True, return_inverse=True)
    links = np.stack([first[member_of], np.arange(len(clusters))], axis=1)
    joined = unite(len(clusters), links, likely.of)
    drawn = np.arange(len(clusters)) if samples.splits is None else samples.split_indices("train")
    try:
        make_split(
            samples.select(drawn).strata,
            clusters=joined[drawn],
            val_share=settings.val_share,
            test_share=settings.test_share if samples.splits is None else 0,
            seed=seed,
            class_names=samples.class_names,
        )
    except UsageError as error:
        log.note(f"{likely.text} The split parts them all the same, and its validation flatters: {error}")
        return clusters
    log.note(f"{likely.text} The split keeps them together; --group none splits at random.")
    return joined
