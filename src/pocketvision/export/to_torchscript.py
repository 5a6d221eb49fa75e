"""TorchScript: `model.torchscript`, for old hosts. Legacy: torch itself has deprecated it in favour of torch.export."""

import warnings
from pathlib import Path

import torch

from pocketvision.atomic_files import replacing
from pocketvision.export.exportable import Answers, Exportable

FILE = "model.torchscript"


def write_torchscript(source: Exportable, folder: Path) -> None:
    """Write `model.torchscript` by tracing. The batch is free; the input's size is the preprocessing's."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the deprecation, which the table of targets tells, and the tracer's advice
        traced = torch.jit.trace(source.graph(), source.example())  # type: ignore[no-untyped-call]
        with replacing(folder / FILE) as temporary:
            torch.jit.save(traced, temporary)


def open_torchscript_answers(folder: Path, source: Exportable) -> Answers:
    """What the written file answers, in torch."""
    del source
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(folder / FILE)  # type: ignore[no-untyped-call]

    def answers(images):  # type: ignore[no-untyped-def]
        with torch.no_grad():
            return module(torch.from_numpy(images))[1].numpy()

    return answers
