"""Plain weights in another library's key layout, with the class names beside them: `weights_timm.safetensors` + `labels.txt`."""

from pathlib import Path

import safetensors.torch
from torch import Tensor, nn

from pocketvision.atomic_files import replacing
from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.export.exportable import Answers, Exportable, answers_in_torch
from pocketvision.models.heads.classification.linear import decoded
from pocketvision.models.key_layouts import LAYOUTS, from_ours
from pocketvision.models.other_names import name_in
from pocketvision.tasks.classification.decode import LOGITS, PROBABILITIES
from pocketvision.tasks.classification.task import CLASSIFICATION
from pocketvision.tasks.manifest import TaskManifest

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
    task = _classification(source)
    network = timm.create_model(name_in("timm", source.network.architecture), num_classes=len(task.labels))
    return _answers(network, folder / TIMM_FILES[0], task)


def open_torchvision_answers(folder: Path, source: Exportable) -> Answers:
    """What torchvision's network answers with the weights."""
    from torchvision.models import get_model

    task = _classification(source)
    network = get_model(name_in("torchvision", source.network.architecture), num_classes=len(task.labels))
    return _answers(network, folder / TORCHVISION_FILES[0], task)


def _write(source: Exportable, folder: Path, library: str, file: str) -> None:
    task = _classification(source)
    name_in(library, source.network.architecture)  # refuse first a network that nobody could load the file into
    state = from_ours(LAYOUTS[library], source.network.architecture, source.network.state_dict())
    lines = [name for name in task.labels if name.splitlines() != [name]]
    if lines:
        raise UsageError(f"The class name {lines[0]!r} has a line break, so {LABELS} can not hold it.")
    with replacing(folder / file) as temporary:
        safetensors.torch.save_file({key: value.contiguous() for key, value in state.items()}, temporary)
    with replacing(folder / LABELS) as temporary:
        temporary.write_text("\n".join(task.labels) + "\n", encoding="utf-8", errors="surrogateescape")


def _classification(source: Exportable) -> TaskManifest:
    """The only task. Raises UsageError for others, which those libraries' networks do not answer."""
    (task, *more) = source.tasks.values()
    if more or task.kind != CLASSIFICATION.kind:
        raise UsageError(
            f"timm's and torchvision's networks classify; this one answers {', '.join(source.tasks)}. Export to onnx instead."
        )
    if task.features:
        raise UsageError(
            f"timm's and torchvision's networks end in one linear layer on the last features; this head, {task.head}, reads "
            f"{len(task.features)} features of several stages. Train with --head linear for them, or export to onnx."
        )
    return task


def _answers(network: nn.Module, path: Path, task: TaskManifest) -> Answers:
    network.load_state_dict(safetensors.torch.load_file(path))
    network.eval()

    def outputs(images: Tensor) -> tuple[Tensor, ...]:
        answers = decoded(network(images), task.postprocessing)
        return answers[LOGITS], answers[PROBABILITIES]

    return answers_in_torch(outputs, (task.outputs[LOGITS], task.outputs[PROBABILITIES]))
