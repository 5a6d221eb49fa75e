"""Figures as a reader writes them."""

NO_VALUE = "–"


def percent(share: float | None) -> str:
    """A share in [0, 1] with one decimal; a share that is not nothing, or not all, is never rounded to that."""
    if share is None:
        return NO_VALUE
    if 0 < share < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 <= share < 1 else f"{share * 100:.1f}%"


def bound(share: float) -> str:
    """An end of an interval in [0, 1], one decimal; only 0 is written as nothing and only 1 as all."""
    tenths = round(share * 1000)
    if 0 < share < 1:
        tenths = min(max(tenths, 1), 999)
    return f"{tenths / 10:.1f}%"


def figure(value: float | None) -> str:
    """A figure without a unit, three decimals."""
    return NO_VALUE if value is None else f"{value:.3f}"
