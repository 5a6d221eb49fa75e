"""A bundle's network again, from the rows and weights in it: what exports, compression and the torch backend begin with."""

import safetensors.torch
import torch
from safetensors import SafetensorError

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, MissingExtraError, UsageError
from pocketvision.models.architecture_file import spec_from_dict
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.utf8_path import utf8_path

WEIGHTS_FILE = "model.safetensors"


def rebuilt(bundle: Bundle) -> Network:
    """The network in eval mode, its weights those of the bundle.

    Raises UsageError for a bundle without weights (a quantized one ships without), BundleError when rows and weights do not fit,
    MissingExtraError when it takes timm to build the network.
    """
    if WEIGHTS_FILE not in bundle.manifest.files:
        raise UsageError(
            f"{bundle.folder} holds no {WEIGHTS_FILE}, only a graph: it was quantized, or made of an ONNX file. Take the bundle "
            "that it was made from."
        )
    try:
        spec = spec_from_dict(bundle.manifest.architecture)
        with torch.random.fork_rng(devices=[]):  # its random start is overwritten
            heads = {
                name: HeadSpec(task.head, len(task.labels), features=task.features)
                for name, task in bundle.tasks.items()
            }
            network = Network(spec, heads)
        with utf8_path(bundle.path(WEIGHTS_FILE)) as path:
            network.load_state_dict(safetensors.torch.load_file(path))
    except MissingExtraError:
        raise
    except (UsageError, RuntimeError, SafetensorError, OSError) as error:
        raise BundleError(f"{bundle.folder}: its rows and weights do not make a network: {error}") from error
    return network.eval()
