"""What a format of SOURCES is, and how specific the evidence for one is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples

ASKED, SHAPE, LAYOUT, OWN_FILE, NAMED = range(5)
"""How specific evidence is: what is read so only where its kind of task or the format is asked for; a folder, or a file with
such a suffix; names of folders or columns as the format has them; a file that no other format has; one that names what is
beside it."""


@dataclass(frozen=True)
class Source:
    """One format.

    expects: what it is, for messages. evidence: looks at an existing path, and says how specific it is as one of this format, or
    None. kinds: of tasks whose truth it gives; none where that is known only once it is read. read: raises UsageError for what
    does not hold together. names_files: whether its content names the images by paths, so that it matters where they start.
    has_values: whether masks are files, whose values a person may say to be of no class.
    """

    expects: str
    evidence: Callable[[Path], int | None]
    kinds: tuple[str, ...]
    read: Callable[[Path, SourceOptions], Samples]
    names_files: bool = False
    has_values: bool = False
