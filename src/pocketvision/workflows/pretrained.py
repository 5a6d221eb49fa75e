"""A pre-trained name stands wherever a bundle does: it is converted once, into the user's cache."""

from pathlib import Path

from platformdirs import user_cache_path

from pocketvision.bundle import Bundle, read_bundle, require_place, resolve
from pocketvision.errors import BundleError, MissingExtraError, UsageError


def open_bundle(bundle: str | Path) -> Bundle:
    """The bundle in the folder `bundle`, or the pre-trained network of that name: a classifier with its ImageNet classes, or a
    detector or segmenter (published_networks.py).

    A name is converted at its first use, which needs the `train` extra; afterwards torch is not needed. Raises BundleError,
    UsageError for a name that is neither a folder nor a model, WeightsError when its weights can not be had.
    """
    path = Path(bundle)
    if path.exists() or path.name != str(bundle) or path.suffix:
        return read_bundle(path)
    converted = user_cache_path("pocketvision") / "bundles" / path.name
    if converted.exists():
        try:
            return read_bundle(converted)
        except BundleError:  # damaged, or of an older version: it can be made again
            return _convert(path.name, converted)
    return _convert(path.name, converted)


def output_folder(bundle: str | Path, read: Bundle, out: str | Path | None, suffix: str) -> Path:
    """Where a bundle made from `bundle` (which was read) goes: `out`, or its own name with the suffix.

    Raises UsageError when that is the bundle itself, or no place for one (bundle.require_place).
    """
    folder = Path(f"{resolve(bundle)}{suffix}") if out is None else Path(out)
    if folder.resolve() == read.folder.resolve():
        raise UsageError(f"--out {folder} is the bundle itself; what is made from it needs a folder of its own.")
    require_place(folder)
    return folder


def _convert(name: str, folder: Path) -> Bundle:
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{name} is no folder, and converting the pre-trained network of that name", "train"
        ) from error
    from pocketvision.export.taken import ship_classifier, ship_named
    from pocketvision.models.named_networks import load_named
    from pocketvision.models.published_networks import published_network
    from pocketvision.models.weights import load_pretrained

    if published_network(name) is not None:
        return ship_named(load_named(name), folder)
    pretrained = load_pretrained(name)
    if pretrained.labels is None:
        raise BundleError(f"The weights of {name} do not tell their classes' names, so they can not be used directly.")
    return ship_classifier(pretrained.network, folder, pretrained.labels, pretrained.preprocessing)
