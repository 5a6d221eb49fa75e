"""prune: a bundle with fewer channels (or weights) that was tuned again, with its loss of accuracy measured and bounded."""

from pathlib import Path

from pocketvision.compression.bundle_images import calibration_images, hashes_for, measuring_images
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.compression.pruning import Pruner, PruneResult, write_if_accurate
from pocketvision.models.rebuild import rebuilt
from pocketvision.progress import OnEvent, silent
from pocketvision.workflows.pretrained import open_bundle, output_folder


def prune(
    bundle: str | Path,
    settings: PruneSettings,
    *,
    data: str | Path | None = None,
    images: str | Path | None = None,
    out: str | Path | None = None,
    on_event: OnEvent = silent,
) -> PruneResult:
    """Write a pruned bundle to `out` (None: the bundle's name with -pruned).

    Channels are removed in rounds, each followed by tuning all weights on the training split of `data` (None: of the run the
    bundle lies in), then the accuracy is measured on its validation split against the bundle it was made from. The pruned network
    is rows again, so its bundle needs nothing else to be built, exported or quantized.

    Raises AgreementError when the accuracy drops by more than `max_accuracy_drop` points: no bundle is written, and the figures
    are left beside `out`. Raises UsageError, BundleError, MissingExtraError, TrainingError.
    """
    read = open_bundle(bundle)
    network = rebuilt(read)
    folder = output_folder(bundle, read, out, "-pruned")
    learning, validation = (
        calibration_images(read, data, on_event, images),
        measuring_images(read, data, on_event, images),
    )
    pruner = Pruner(read, network, learning, settings, on_event)
    smaller = pruner.without_weights(network) if settings.unstructured is not None else pruner.without_channels(network)
    hashes = hashes_for(read, learning if settings.epochs else None)
    return write_if_accurate(read, smaller, validation, settings, folder, network, hashes)
