"""Plain weights in another library's key layout, with the class names beside them: `weights_timm.safetensors` + `labels.txt`."""

from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from pocketvision.atomic_files import replacing
from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.export.exportable import Answers, Exportable
from pocketvision.models.key_layouts import LAYOUTS, from_ours
from pocketvision.models.other_names import name_in

LABELS = "labels.txt"
TIMM_FILES = ("weights_timm.safetensors", LABELS)
TORCHVISION_FILES = ("weights_torchvision.safetensors", LABELS)


def write_timm(source: Exportable, folder: Path) -> None:
    """Write timm's keys. UsageError when timm has no such network."""
    _write(source, folder, "timm", TIMM_FILES[0])


def write_torchvision(source: Exportable, folder: Path) -> None:
    """Write torchvision's keys. UsageError when torchvision has no such network."""
    _write(source, folder, "torchvision", TORCHVISION_FILES[0])


def open_timm_answers(folder: Path, source: Exportable) -> Answers:
    """What timm's network answers with the weights. Raises MissingExtraError without timm."""
    try:
        import timm
    except ImportError:
        raise MissingExtraError("Loading the weights into timm", "timm") from None
    network = timm.create_model(name_in("timm", source.network.architecture), num_classes=len(source.labels))
    return _answers(network, folder / TIMM_FILES[0], source.temperature)


def open_torchvision_answers(folder: Path, source: Exportable) -> Answers:
    """What torchvision's network answers with the weights."""
    from torchvision.models import get_model

    network = get_model(name_in("torchvision", source.network.architecture), num_classes=len(source.labels))
    return _answers(network, folder / TORCHVISION_FILES[0], source.temperature)


def _write(source: Exportable, folder: Path, library: str, file: str) -> None:
    name_in(library, source.network.architecture)  # refuse first a network that nobody could load the file into
    state = from_ours(LAYOUTS[library], source.network.architecture, source.network.state_dict())
    lines = [label for label in source.labels if label.splitlines() != [label]]
    if lines:
        raise UsageError(f"The class name {lines[0]!r} has a line break, so {LABELS} can not hold it.")
    with replacing(folder / file) as temporary:
        safetensors.torch.save_file({key: value.contiguous() for key, value in state.items()}, temporary)
    with replacing(folder / LABELS) as temporary:
        temporary.write_text("\n".join(source.labels) + "\n", encoding="utf-8", errors="surrogateescape")


def _answers(network: nn.Module, path: Path, temperature: float) -> Answers:
    network.load_state_dict(safetensors.torch.load_file(path))
    network.eval()

    def answers(images):  # type: ignore[no-untyped-def]
        with torch.no_grad():
            return torch.softmax(network(torch.from_numpy(images)) / temperature, dim=1).numpy()

    return answers
