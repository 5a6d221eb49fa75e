"""Rows of tables that come from installed packages: entry points, looked up where the table itself has not the name.

A package declares them in its pyproject.toml, `[project.entry-points."pocketvision.heads"]` with `NAME = "MODULE:ROW"`
(docs/extending.md), so that every process finds them: workers of a server, too.
"""

import logging
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from pocketvision.errors import UsageError, unknown_name

logger = logging.getLogger(__name__)
Row = TypeVar("Row")


def row_named(table: Mapping[str, Row], name: str, *, group: str, what: str) -> Row:
    """The row of `table` called `name`, or the one that an installed package declares in the entry points' `group`.

    what: the kind of thing, for the message. Raises UsageError for a name that neither has, listing near matches of both, and
    for a package whose row can not be imported.
    """
    if name in table:
        return table[name]
    outside = {point.name: point for point in entry_points(group=group)}
    if name not in outside:
        raise unknown_name(what, name, [*table, *sorted(outside.keys() - table.keys())])
    return _loaded(outside[name], what)


def all_rows(table: Mapping[str, Row], *, group: str, what: str) -> dict[str, Row]:
    """The rows of `table` and those of installed packages, for who has to ask each of them. One that can not be imported is left
    out with a warning: it may have nothing to do with the work at hand."""
    rows = dict(table)
    for point in entry_points(group=group):
        if point.name not in table:
            try:
                rows[point.name] = _loaded(point, what)
            except UsageError as error:
                logger.warning("%s", error)
    return rows


def _loaded(point: EntryPoint, what: str) -> Row:  # type: ignore[type-var]
    package = "an installed package" if point.dist is None else f"the package {point.dist.name}"
    try:
        row: Row = point.load()
    except Exception as error:  # whatever a foreign module does when it is imported
        raise UsageError(
            f"The {what} {point.name} of {package} can not be loaded from {point.value}: {type(error).__name__}: {error}"
        ) from error
    return row
