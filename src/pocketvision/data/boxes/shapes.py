"""Numbers and shapes as annotation files have them, and the upright boxes around shapes."""

import math
from typing import Any


def hull(across: list[float], down: list[float]) -> tuple[float, ...]:
    """The corners of the box around points; none where there is no point."""
    return (min(across), min(down), max(across), max(down)) if across and down else ()


def number(value: Any) -> float:
    """A JSON value as a number; not-a-number for what is none."""
    try:
        return float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        return math.nan


def turned(
    left: float, top: float, right: float, bottom: float, degrees: float, *, at_corner: bool = False
) -> tuple[float, float, float, float]:
    """The upright box around one that is turned clockwise about its centre, or about its first corner."""
    if not degrees:
        return left, top, right, bottom
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = (left, top) if at_corner else ((left + right) / 2, (top + bottom) / 2)
    corners = [(across - x, down - y) for across in (left, right) for down in (top, bottom)]
    across = [x + cos * dx - sin * dy for dx, dy in corners]
    down = [y + sin * dx + cos * dy for dx, dy in corners]
    return min(across), min(down), max(across), max(down)


ROUND = 64
"""Corners that stand for a circle."""


def rectangle(
    left: float, top: float, right: float, bottom: float, degrees: float = 0, *, at_corner: bool = False
) -> list[float]:
    """x and y of its corners in turn, turned clockwise about its centre, or about its first corner."""
    angle = math.radians(degrees)
    x, y = (left, top) if at_corner else ((left + right) / 2, (top + bottom) / 2)
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return [side for across, down in corners for side in _about(x, y, across - x, down - y, angle)]


def ellipse(x: float, y: float, wide: float, high: float, degrees: float = 0) -> list[float]:
    """x and y of ROUND corners in turn."""
    angle, steps = math.radians(degrees), [2 * math.pi * place / ROUND for place in range(ROUND)]
    return [side for step in steps for side in _about(x, y, wide * math.cos(step), high * math.sin(step), angle)]


def _about(x: float, y: float, across: float, down: float, angle: float) -> tuple[float, float]:
    cos, sin = math.cos(angle), math.sin(angle)
    return x + cos * across - sin * down, y + sin * across + cos * down
