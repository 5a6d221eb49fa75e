"""Splits that keep likely groups together, where the evidence is strong."""

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.capture_orders import capture_orders
from pocketvision.data.likely_groups import FEWEST, LikelyGroups, likely_groups
from pocketvision.data.samples import Samples
from pocketvision.data.splits import make_split, unite
from pocketvision.errors import UsageError, WeightsError
from pocketvision.training.frozen_features import frozen_features
from pocketvision.training.recipe import DataSettings
from pocketvision.training.run_log import RunLog


def search_groups(samples: Samples, *, workers: int, max_pixels: int, log: RunLog) -> LikelyGroups | None:
    """The likely groups of readable samples; None where nobody has looked: few pictures, without classes, in groups of their
    own, or without the network that looks at them, which is said."""
    if len(samples) < FEWEST or samples.classes is None or samples.groups is not None:
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
            samples.strata[drawn],
            clusters=joined[drawn],
            val_share=settings.val_share,
            test_share=settings.test_share if samples.splits is None else 0,
            seed=seed,
            class_names=samples.class_names,
        )
    except UsageError as error:
        log.note(f"{likely.text} The split parts them all the same, and its validation flatters: {error}")
        return clusters
    log.note(f"{likely.text} The split keeps them together; --set data.group=none splits at random.")
    return joined
