"""What takes part in a benchmark: bundles as they are, and architectures at widths and sizes, made into bundles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.bundle import Bundle, read_bundle
from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.models.catalog import architecture
from pocketvision.models.published_weights import PUBLISHED_WEIGHTS, default_preprocessing
from pocketvision.models.spec import Architecture, ModelSpec


@dataclass(frozen=True)
class Contender:
    """name: as it was given, with its width. size: pixels, height x width."""

    name: str
    size: str
    bundle: Bundle


@dataclass(frozen=True)
class Wanted:
    """An architecture at a size, to be made into a bundle."""

    name: str
    rows: ModelSpec
    size: int


def wanted_of(names: Sequence[str], widths: Sequence[float], sizes: Sequence[int]) -> list[str | Wanted]:
    """Folders as they are; architectures at every width (multipliers of the channels, 1 is the architecture's) and input size in
    pixels. Raises UsageError for an unknown name, for widths or sizes that are out of range or asked of a bundle, and of a
    network that has no width."""
    found: list[str | Wanted] = []
    for name in dict.fromkeys(names):
        if is_folder(name):
            if widths or sizes:
                option = "--width" if widths else "--size"
                raise UsageError(
                    f"{option} is for architectures: {name} is a bundle, whose network is as it was trained. Name its "
                    "architecture."
                )
            found.append(name)
            continue
        rows = architecture(name)
        for width in widths or (1.0,):
            scaled, called = _at_width(rows, name, width)
            for size in sizes or (_size_of(name, rows),):
                if not 8 <= size <= 4096:
                    raise UsageError(f"--size has {size}; expected numbers of pixels from 8 to 4096.")
                scaled.check_size(size, size)
                found.append(Wanted(called, scaled, size))
    return found


def is_folder(name: str) -> bool:
    """Whether a name means a folder, there or not."""
    return Path(name).is_dir() or (
        "/" in name and not name.endswith((".json", ".toml")) and not name.startswith("timm:")
    )


def contenders(wanted: Sequence[str | Wanted], folder: Path) -> Iterator[Contender]:
    """Ready to be opened; those of architectures have random weights, for speed does not depend on them, and lie in `folder`."""
    for number, each in enumerate(wanted):
        if isinstance(each, str):
            bundle = read_bundle(Path(each))
            yield Contender(each, f"{bundle.preprocessing.height}x{bundle.preprocessing.width}", bundle)
        else:
            yield Contender(each.name, f"{each.size}x{each.size}", _made(each, folder / str(number)))


def _made(wanted: Wanted, folder: Path) -> Bundle:
    try:
        from pocketvision.export.unlearned import ship_unlearned
        from pocketvision.models.catalog import build
    except ModuleNotFoundError as error:
        raise MissingExtraError("Measuring an architecture, which is no bundle,", "train") from error
    network = build(wanted.rows).eval()
    pixels = default_preprocessing(wanted.rows.name, wanted.size).with_size(wanted.size)
    return ship_unlearned(network, folder, pixels)


def _size_of(name: str, rows: ModelSpec) -> int:
    """At which its accuracy was published; else the architecture's."""
    published = PUBLISHED_WEIGHTS.get(name)
    return published[0].preprocessing.height if published else rows.input_size


def _at_width(rows: ModelSpec, name: str, width: float) -> tuple[ModelSpec, str]:
    if width == 1.0:
        return rows, name
    if not isinstance(rows, Architecture):
        raise UsageError(f"--width scales the channels of convolutions; {name} is no table of them.")
    if not 0.1 <= width <= 8:
        raise UsageError(f"--width has {width:g}; expected multipliers of the channels from 0.1 to 8.")
    return replace(rows, width=rows.width * width), f"{name} x{width:g}"
