"""PocketVision: a folder of images becomes a trained, measured and shippable vision model.

The functions are loaded when they are first asked for: importing the package itself takes no time and needs no torch.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketvision.workflows.benchmark import benchmark
    from pocketvision.workflows.changes import changes
    from pocketvision.workflows.check import check
    from pocketvision.workflows.compare import compare
    from pocketvision.workflows.convert import convert
    from pocketvision.workflows.demo import demo
    from pocketvision.workflows.diagnose import diagnose
    from pocketvision.workflows.evaluate import evaluate
    from pocketvision.workflows.import_weights import import_weights
    from pocketvision.workflows.load import load
    from pocketvision.workflows.predict import predict
    from pocketvision.workflows.stream import stream
    from pocketvision.workflows.threshold import threshold
    from pocketvision.workflows.train import train
    from pocketvision.workflows.verify import verify

# Since 1.29 ONNX Runtime's telemetry is on by default (seen: an id of the machine and a database in the user's cache) unless
# this is set before it is loaded. Nothing here calls home; whoever wants it to sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "benchmark",
    "changes",
    "check",
    "compare",
    "convert",
    "demo",
    "diagnose",
    "evaluate",
    "import_weights",
    "load",
    "predict",
    "stream",
    "threshold",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'pocketvision' has no attribute {name!r}")
    from importlib import import_module

    # A verb and its module have one name: the function takes the module's place, here and for whoever asks next.
    function = getattr(import_module(f"pocketvision.workflows.{name}"), name)
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
