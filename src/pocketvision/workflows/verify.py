"""verify: a bundle's hashes and golden inputs, on the machine at hand."""

from pathlib import Path

from pocketvision.bundle import read_bundle
from pocketvision.runtime.verify import Verification, verify_bundle


def verify(bundle: str | Path) -> Verification:
    """Check every file's size and SHA-256 and rerun the golden inputs with every backend.

    Raises BundleError that names the file that differs, or the backend and the golden image that is answered differently.
    """
    return verify_bundle(read_bundle(Path(bundle), check_hashes=True))
