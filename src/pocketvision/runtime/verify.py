"""Does a bundle answer on this machine as it was measured where it was made?"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, UsageError
from pocketvision.printable import counted
from pocketvision.runtime.backends import BACKENDS, Backend, answers_as_measured, open_backend
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
    opened: dict[str, Backend] = {}
    broken: dict[str, str] = {}
    for name in _exported_to(bundle) if backends is None else backends:
        try:
            opened[name] = open_backend(bundle, name)
        except UsageError as error:  # its package is there and can not be loaded
            if backends is not None:
                raise
            broken[name] = str(error)
    unverified = _unverified(bundle, set(opened), broken)
    if not opened:
        reasons = "; ".join(f"{file}: {reason}" for file, reason in unverified.items())
        raise BundleError(
            f"{bundle.folder}: {counted(len(bundle.manifest.files), 'file')} intact, but nothing was verified, because none of "
            f"them can be run here ({reasons})"
        )
    for name, backend in opened.items():
        differences[name] = check_golden(bundle, name, backend)
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
    exported = [name for name, row in BACKENDS.items() if row.module != "torch" and row.file(bundle)]
    return [name for name in exported if BACKENDS[name].installed and answers_as_measured(bundle, name)]


def _unverified(bundle: Bundle, opened: set[str], broken: Mapping[str, str]) -> dict[str, str]:
    """Why each exported file that none of the `opened` backends runs is not run: the runtime to install, what is wrong with an
    installed one, or that there is none."""
    run = {BACKENDS[name].file(bundle) for name in opened}
    reasons: dict[str, str] = {}
    for graph in bundle.manifest.graphs:
        file = graph.files[0]
        if not run & set(graph.files):
            own = [name for name, row in BACKENDS.items() if file in row.files]
            absent = [name for name in own if not BACKENDS[name].installed]
            missing = [f"{name} is not installed: {BACKENDS[name].install}" for name in absent]
            reasons[file] = [*(broken[name] for name in own if name in broken), *missing, "no backend runs it"][0]
    return reasons
