"""Values as a reader writes them: bytes, times, settings, agreement."""

from collections.abc import Mapping
from typing import Any

from pocketvision.tasks.reporting.formats import NO_VALUE, percent
from pocketvision.tasks.reporting.parts import PlainValue


def size(amount: int) -> str:
    """Bytes in the unit that a reader would choose."""
    number, unit = float(amount), "B"
    for larger in ("kB", "MB", "GB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{amount:,} B" if unit == "B" else f"{number:.1f} {unit}"


def duration(seconds: float, table: Mapping[str, str]) -> str:
    """Seconds, or minutes and seconds, or hours and minutes, in words."""
    if seconds < 60:
        return table["duration.seconds"].format(seconds=seconds)
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return table["duration.minutes"].format(minutes=minutes, seconds=rest)
    return table["duration.hours"].format(hours=minutes // 60, minutes=minutes % 60)


def of_any_phase(path: str) -> str:
    """A setting's path without the number of its phase."""
    return ".".join(part for part in path.split(".") if not part.isdecimal())


def setting(name: str, value: PlainValue, table: Mapping[str, str]) -> str:
    """A recipe's value in words; what a missing one means is a text of its own where there is one."""
    if value is None or value == "none":
        return table.get(f"unset.{of_any_phase(name)}", table["value.none"])
    if isinstance(value, bool):
        return table["value.yes" if value else "value.no"]
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {number:g}" for key, number in value.items())
    return value if isinstance(value, str) else ", ".join(map(str, value))


def agreement(name: str, figures: Mapping[str, Any]) -> str:
    """One figure of an exported file's agreement with the trained network."""
    value = figures.get(name)
    if value is None:
        return NO_VALUE
    if name == "top1_agreement":
        return percent(value)
    return f"{value:,.0f}" if name == "images" else f"{value:.1e}"
