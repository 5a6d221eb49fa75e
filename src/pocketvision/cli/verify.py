"""`pocketvision verify`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import JsonFile
from pocketvision.cli.terminal import stdout
from pocketvision.printable import counted


def verify(bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")], json: JsonFile = None) -> None:
    """Recompute a bundle's hashes and rerun its golden inputs on this machine.

    Every file that an installed runtime runs is verified; the others are named, with the line that installs what runs them.

    Exit code 0: what could be run answers as it was measured; 1: something does not, or nothing could be run.

    Example:

        pocketvision verify runs/leaves/bundle
    """
    from pocketvision.workflows.verify import verify as run_verify

    verification = run_verify(bundle)
    write_json_option(json, verification.to_dict())
    if json is None or str(json) != "-":
        stdout().print(
            f"{bundle}: {counted(verification.files, 'file')} intact; {counted(verification.images, 'golden image')}, "
            f"largest difference {verification.max_probability_difference:.1e} "
            f"(at most {verification.tolerance:.0e})",
            soft_wrap=True,
        )
        stdout().print(f"Run in: {', '.join(verification.backends)}", soft_wrap=True)
        for file, reason in verification.unverified.items():
            stdout().print(f"Not run, its hash is intact: {file} ({reason})", soft_wrap=True)
