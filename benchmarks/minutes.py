"""How much of its minutes a training with --minutes uses, and that it never ends late.

Each run is the command line's own, in a process of its own; its time is the wall clock's from the command to its end, imports
included. `--beside` runs busy loops on the same processor from the middle of each run on: another program that takes its time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LOWEST, HIGHEST = 0.85, 1.0
_BUSY = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="an image folder or a table")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 2, 4])
    parser.add_argument("--beside", type=int, default=0, help="busy processes from the middle of each run on")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="of the recipe")
    arguments = parser.parse_args()
    rows = [measured(arguments.data, minutes, arguments.beside, arguments.set) for minutes in arguments.minutes]
    print(json.dumps(rows, indent=2))
    sys.exit(0 if all(row["within"] for row in rows) else 1)


def measured(data: Path, minutes: float, beside: int, settings: list[str]) -> dict[str, object]:
    """One training."""
    from pocketvision.training.recipe_file import read_recipe

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [
            sys.executable,
            "-m",
            "pocketvision",
            "train",
            str(data),
            "--out",
            str(run),
            "--minutes",
            f"{minutes:g}",
        ]
        command += [part for each in settings for part in ("--set", each)]
        started = time.perf_counter()
        training = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(30 * minutes)
        busy = [subprocess.Popen([sys.executable, "-c", _BUSY.format(seconds=30 * minutes)]) for _ in range(beside)]
        code = training.wait()
        seconds = time.perf_counter() - started
        for each in busy:
            each.kill()
            each.wait()
        if code:
            raise SystemExit(f"{' '.join(command)} ended with {code}")
        recipe = read_recipe(run)
        notes = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        said = [note["text"] for note in notes if note["event"] == "note" and note["text"].startswith("Planned")]
    share = seconds / (60 * minutes)
    early = any("ends early" in text for text in said)
    return {
        "minutes": minutes,
        "seconds": round(seconds, 1),
        "used": round(share, 3),
        "views": recipe.cache.views,
        "unfreeze": recipe.phases[-1].unfreeze,
        "epochs": recipe.phases[-1].epochs,
        "replanned": recipe.phases[-1].replanned,
        "notes": said,
        "within": share <= HIGHEST and (share >= LOWEST or early),
    }


if __name__ == "__main__":
    main()
