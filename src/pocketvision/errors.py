"""The one exception family. Every message says what was found, where, what was expected and how to mend it."""

from collections.abc import Iterable
from difflib import get_close_matches

from pocketvision.printable import LONGEST_VALUE, bounded, quoted, shortened


class PocketVisionError(Exception):
    """Work that could not be done. The command line prints its message and exits with `exit_code`, never a traceback."""

    exit_code = 1

    def __str__(self) -> str:
        """The message on one line and of bounded length, whatever was put into it: it may hold what a file or a library says."""
        return bounded(super().__str__())


class UsageError(PocketVisionError):
    """Wrong use: a missing path, an unknown name, an option out of range, data that can not be trained on."""

    exit_code = 2


class ImageError(PocketVisionError):
    """One image that can not be read. `reason` is the cause alone, without the file's name."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = bounded(reason)


class PictureWarning(UserWarning):
    """A picture that is read, and probably not as its owner thinks. Python shows one text once."""


class BundleError(PocketVisionError):
    """A bundle that is missing a file, is damaged, is of a newer format or answers differently than it was measured."""


class SourceError(PocketVisionError):
    """A camera, a video or a stream that can not be opened or read any further. The message says what was tried."""


class WeightsError(UsageError):
    """Weights that can not be had (hub out of reach) or do not fit the architecture (mismatching keys)."""


class TrainingError(PocketVisionError):
    """A training that can not go on: not-a-number in the loss, a full disk, a damaged checkpoint."""


class AgreementError(PocketVisionError):
    """An exported model that answers differently from the trained one."""


class MissingExtraError(UsageError):
    """An optional dependency that is not installed. The message holds the install line."""

    def __init__(self, needed_for: str, extra: str) -> None:
        super().__init__(
            f'{needed_for} needs the "{extra}" extra. Install it with: pip install "pocketvision[{extra}]"'
        )
        self.extra = extra


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not in a table: lists near matches, or every name when none is near."""
    names = list(known)
    near = get_close_matches(name[:LONGEST_VALUE], names, n=4, cutoff=0.5)
    some = ", ".join(map(shortened, names[:60])) + (f" and {len(names) - 60} more" if len(names) > 60 else "")
    hint = f"Did you mean {' or '.join(map(shortened, near))}?" if near else f"Known: {some}."
    return UsageError(f"Unknown {kind} {quoted(name)}. {hint}")
