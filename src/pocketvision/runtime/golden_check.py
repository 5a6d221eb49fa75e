"""The golden check of `verify` and `serve`: does a backend answer a bundle's golden inputs as they were measured?"""

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError
from pocketvision.runtime.backends import BACKENDS, Backend, answers_as_measured
from pocketvision.tasks.differences import output_differences
from pocketvision.tasks.task import TOLERANCE

GOLDEN_TOLERANCE = "golden_tolerance"
"""The entry of a manifest that allows another difference: of its `compression` for the whole bundle, of a file's `agreement`
for that file, whose golden answers are not its own but the network's."""

OTHER_CPU_TOLERANCE = 0.05
"""An 8-bit graph's answers to the golden images may differ so much on another CPU: its 8-bit products are the same, their
rounding is not. Saturating ones (AVX2 without VNNI) differ by far more, which is what this is there to find."""


def golden_tolerance(bundle: Bundle, backend: str) -> float:
    """What is allowed of the file that the backend of this name runs."""
    whole = float(bundle.manifest.compression.get(GOLDEN_TOLERANCE, TOLERANCE))
    file = BACKENDS[backend].file(bundle) or ""
    return float(bundle.manifest.agreement.get(file, {}).get(GOLDEN_TOLERANCE, whole))


def check_golden(bundle: Bundle, backend: str, opened: Backend) -> float:
    """The largest difference of a probability, or of what stands for one, over the golden inputs.

    backend: the name of what was opened. Raises BundleError that names the golden image and the difference when it is more
    than the bundle allows, or no number.
    """
    golden = bundle.golden()
    outputs = opened.run(golden["images"])
    tolerance = golden_tolerance(bundle, backend)
    furthest = max(output_differences(bundle.tasks, golden, outputs), key=lambda each: each.largest)
    if not furthest.largest <= tolerance:
        rounding = (
            ""
            if answers_as_measured(bundle, backend)
            else f" It was not quantized for {backend}, which rounds 8 bits its own way: leave --backend out."
        )
        raise BundleError(
            f"{bundle.folder}: {backend} does not answer as it was measured: a {furthest.noun} of golden image {furthest.worst} "
            f"differs by {furthest.largest:.2g} (at most {tolerance:.0e} is allowed). The bundle was made with "
            f"{bundle.manifest.versions}; try those versions, or export it anew.{rounding}"
        )
    return furthest.largest
