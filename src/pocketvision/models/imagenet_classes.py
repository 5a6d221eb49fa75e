"""The names of ImageNet-1k's classes in the order of every published classifier's outputs."""

from functools import cache
from importlib.resources import files


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The 1000 names, from the data file beside this module, spelled as torchvision spells them."""
    text = files("pocketvision.models").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
