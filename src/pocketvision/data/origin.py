"""Where samples come from, so that they can be read from there again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketvision.data.table_rows import Columns

_COLUMNS = Columns()


@dataclass(frozen=True)
class SourceOptions:
    """How a source is to be read. labels: every class name in index order; None takes those found. columns and images (where
    relative paths start, None is the table's folder) matter to tables alone. ignore: a value of masks' pixels that is of no
    class."""

    labels: tuple[str, ...] | None = None
    columns: Columns = _COLUMNS
    images: Path | None = None
    ignore: int | None = None


@dataclass(frozen=True)
class Origin:
    """A source that was read. path: its place. format: a name of SOURCES."""

    path: Path
    format: str
    options: SourceOptions

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with absolute paths."""
        options = self.options
        return {
            "source": str(self.path.absolute()),
            "format": self.format,
            "labels": options.labels,
            "columns": asdict(options.columns),
            "images": None if options.images is None else str(options.images.absolute()),
            **({} if options.ignore is None else {"ignore": options.ignore}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Origin":
        """The inverse. Raises KeyError and TypeError for other values."""
        labels, images = values["labels"], values["images"]
        options = SourceOptions(
            labels=None if labels is None else tuple(labels),
            columns=Columns(**{name: _frozen(value) for name, value in values["columns"].items()}),
            images=None if images is None else Path(images),
            ignore=values.get("ignore"),
        )
        return cls(Path(values["source"]), values["format"], options)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
