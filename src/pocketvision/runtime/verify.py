"""Does a bundle answer on this machine as it was measured where it was made?"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError
from pocketvision.runtime.backends import BACKENDS, open_backend

TOLERANCE = 1e-3
"""Largest difference of a probability on the golden inputs."""

GOLDEN_TOLERANCE = "golden_tolerance"
"""The entry of a manifest's `compression` that allows another difference: 8-bit graphs round otherwise on another CPU."""


@dataclass(frozen=True)
class Verification:
    """A bundle that passed: its files are intact, and each backend answers its golden inputs within `tolerance`.

    max_probability_difference: the largest over all backends; `backends` has it for each.
    """

    files: int
    images: int
    tolerance: float
    max_probability_difference: float
    backends: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def verify_bundle(bundle: Bundle, *, backends: Iterable[str] | None = None) -> Verification:
    """Rerun the golden inputs of a bundle whose hashes were checked when it was read.

    backends: None for those that are installed and have an exported file in the bundle.
    Raises BundleError that names the backend, the golden image and the difference when an answer is another one.
    """
    golden = bundle.golden()
    tolerance = float(bundle.manifest.compression.get(GOLDEN_TOLERANCE, TOLERANCE))
    differences = {}
    for name in _exported_to(bundle) if backends is None else backends:
        answers = open_backend(bundle, name).run(golden["images"])["probabilities"]
        difference = np.abs(answers - golden["probabilities"]).max(axis=1)
        worst = int(np.nan_to_num(difference, nan=np.inf).argmax())
        if not difference[worst] <= tolerance:
            raise BundleError(
                f"{bundle.folder}: {name} does not answer as it was measured: a probability of golden image {worst} "
                f"differs by {difference[worst]:.2g} (at most {tolerance:.0e} is allowed). The bundle was made with "
                f"{bundle.manifest.versions}; try those versions, or export it anew"
            )
        differences[name] = float(difference[worst])
    return Verification(
        files=len(bundle.manifest.files),
        images=len(golden["images"]),
        tolerance=tolerance,
        max_probability_difference=max(differences.values()),
        backends=differences,
    )


def _exported_to(bundle: Bundle) -> list[str]:
    """PyTorch's are left out: they are what the others are compared with."""
    return [name for name, row in BACKENDS.items() if row.module != "torch" and row.installed and row.file(bundle)]
