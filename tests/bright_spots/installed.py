"""What pip leaves of this package."""

import shutil
from pathlib import Path

ROWS = {
    "tasks": "spots = bright_spots.task:SPOTS",
    "heads": "two_levels = bright_spots.head:HEAD",
    "learners": "spots = bright_spots.learner:LEARNER",
    "sources": "spots = bright_spots.source:SPOTS",
}


def install(folder: Path, *tables: str) -> Path:
    """The package in `folder`, which is to be on the path, with its rows of `tables`; of all without any. Returns `folder`."""
    shutil.copytree(Path(__file__).parent, folder / "bright_spots", ignore=shutil.ignore_patterns("__pycache__"))
    about = folder / "bright_spots-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: bright-spots\nVersion: 1.0\n")
    rows = (f"[pocketvision.{table}]\n{ROWS[table]}\n" for table in tables or ROWS)
    (about / "entry_points.txt").write_text("\n".join(rows))
    return folder
