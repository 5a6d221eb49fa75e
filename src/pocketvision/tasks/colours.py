"""Colours of classes, the same for a class on every picture."""

from colorsys import hls_to_rgb

Colour = tuple[int, int, int]

_GOLDEN = 0.618034
"""Hues so far apart differ for as many classes as there are."""


def class_colour(place: int) -> Colour:
    """Red, green and blue of the class at a place, 0 to 255."""
    red, green, blue = hls_to_rgb((0.02 + place * _GOLDEN) % 1, 0.55, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)
