"""The names of ImageNet-1k's classes in the order of every published classifier's outputs."""

from functools import cache
from importlib.resources import files


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The 1000 names, from the data file beside this module, spelled as torchvision spells them."""
    return _lines("imagenet_classes.txt")


@cache
def imagenet_synsets() -> tuple[str, ...]:
    """The 1000 WordNet ids ("n01440764") in the same order: what ImageNet's own folders are called."""
    return _lines("imagenet_synsets.txt")


def _lines(name: str) -> tuple[str, ...]:
    return tuple(files("pocketvision.models").joinpath(name).read_text(encoding="utf-8").split("\n")[:1000])
