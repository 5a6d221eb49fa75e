"""What is left out of a source: counted by reason, with an example each, so that nothing is dropped unsaid."""

from dataclasses import dataclass
from typing import Any

from pocketvision.printable import quoted

# The order in which they are reported. What it was, in the plural, and what to do about it.
REASONS: dict[str, tuple[str, str]] = {
    "heic": (
        "HEIC pictures, which are not read",
        "Convert them to JPEG: `sips -s format jpeg` on macOS, `heif-convert` on Linux, or export them as JPEG.",
    ),
    "other_format": (
        "pictures of a kind that is not read (camera raw, JPEG 2000, SVG …)",
        "Convert them to JPEG or PNG.",
    ),
    "outside": ("pictures outside every class folder", "Move them into the folder of their class."),
    "unfinished": ("unfinished downloads", ""),
    "no_permission": ("folders that can not be looked into", "Check their permissions."),
    "not_an_image": ("files that are no images", ""),
    "hidden": ("hidden files or files of the operating system", ""),
    "system_folder": ("hidden folders or folders of a system, an archive or a notebook", ""),
    "read_already": ("links to folders that are read already", ""),
    "repeated_row": ("rows that repeat an earlier row in every column", ""),
    "no_split": ("pictures that no list of a split names", "List them, or move them away."),
    "blank_row": ("rows whose cells are all empty", ""),
    "small_class": ("pictures of classes smaller than --min-per-class", ""),
}
_FILES = ("heic", "other_format", "outside", "unfinished", "not_an_image")


@dataclass(frozen=True)
class LeftOut:
    """`count` things of a source that are left out for one reason, a key of REASONS; `example` is the first of them."""

    reason: str
    count: int
    example: str

    @property
    def text(self) -> str:
        """What was left out, in the plural."""
        return REASONS[self.reason][0]

    @property
    def line(self) -> str:
        """One line that says it all."""
        advice = REASONS[self.reason][1]
        such_as = "such as " if self.count > 1 else ""
        return f"Left out: {self.text}: {self.count:,} ({such_as}{quoted(self.example)}).{advice and ' '}{advice}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"reason": self.reason, "count": self.count, "example": self.example}


class LeftOutCounter:
    """Counts while a source is read."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, str] = {}

    def add(self, reason: str, example: str, count: int = 1) -> None:
        """Count `count` more for `reason`, a key of REASONS."""
        self._counts[reason] = self._counts.get(reason, 0) + count
        self._examples.setdefault(reason, example)

    def result(self) -> tuple[LeftOut, ...]:
        """One entry a reason, in the order of REASONS."""
        return tuple(
            LeftOut(reason, self._counts[reason], self._examples[reason])
            for reason in REASONS
            if reason in self._counts
        )


def merged(*parts: tuple[LeftOut, ...]) -> tuple[LeftOut, ...]:
    """The counts of several parts together."""
    counter = LeftOutCounter()
    for part in parts:
        for each in part:
            counter.add(each.reason, each.example, each.count)
    return counter.result()


def ignored_files(left_out: tuple[LeftOut, ...]) -> int:
    """How many visible files were left out."""
    return sum(each.count for each in left_out if each.reason in _FILES)
