"""Does a bundle answer on this machine as it was measured where it was made?"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError
from pocketvision.runtime.backends import BACKENDS, open_backend
from pocketvision.runtime.golden_check import check_golden, golden_tolerance


@dataclass(frozen=True)
class Verification:
    """A bundle that passed: its files are intact, and each backend answers its golden inputs as closely as it has to.

    tolerance: what was allowed of the backend that may differ most. max_probability_difference: the largest over all backends;
    `backends` has it for each. unverified: why, by the name of each exported file that was not run here; its hash is intact.
    """

    files: int
    images: int
    tolerance: float
    max_probability_difference: float
    backends: dict[str, float]
    unverified: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def verify_bundle(bundle: Bundle, *, backends: Iterable[str] | None = None) -> Verification:
    """Rerun the golden inputs of a bundle whose hashes were checked when it was read.

    backends: None for those that are installed and have an exported file in the bundle.
    Raises BundleError that names the backend, the golden image and the difference when an answer is another one, and one that
    names what is missing when no exported file can be run here.
    """
    differences, tolerances = {}, {}
    run = _exported_to(bundle) if backends is None else list(backends)
    unverified = _unverified(bundle, run)
    if not run:
        reasons = "; ".join(f"{file}: {reason}" for file, reason in unverified.items())
        raise BundleError(
            f"{bundle.folder}: its {len(bundle.manifest.files)} files are intact, but nothing was verified, because none of "
            f"them can be run here ({reasons})"
        )
    for name in run:
        differences[name] = check_golden(bundle, name, open_backend(bundle, name))
        tolerances[name] = golden_tolerance(bundle, name)
    return Verification(
        files=len(bundle.manifest.files),
        images=len(bundle.golden()["images"]),
        tolerance=max(tolerances.values()),
        max_probability_difference=max(differences.values()),
        backends=differences,
        unverified=unverified,
    )


def _exported_to(bundle: Bundle) -> list[str]:
    """PyTorch's are left out: they are what the others are compared with."""
    return [name for name, row in BACKENDS.items() if row.module != "torch" and row.installed and row.file(bundle)]


def _unverified(bundle: Bundle, backends: list[str]) -> dict[str, str]:
    """Why each exported file that none of `backends` runs is not run: the runtime to install, or that there is none."""
    run = {BACKENDS[name].file(bundle) for name in backends}
    reasons: dict[str, str] = {}
    for graph in bundle.manifest.graphs:
        file = graph.files[0]
        if not run & set(graph.files):
            rows = [(name, row) for name, row in BACKENDS.items() if file in row.files]
            absent = next(((name, row) for name, row in rows if not row.installed), None)
            reasons[file] = (
                "no backend runs it" if absent is None else f"{absent[0]} is not installed: {absent[1].install}"
            )
    return reasons
