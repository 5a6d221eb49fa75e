"""TorchScript: `model.torchscript`, for old hosts. Legacy: torch itself has deprecated it in favour of torch.export."""

import tempfile
import warnings
import zipfile
from pathlib import Path

import torch

from pocketvision.atomic_files import replacing
from pocketvision.export.exportable import Answers, Exportable, answers_in_torch
from pocketvision.export.unsupported import require_torchs_own

FILE = "model.torchscript"


def write_torchscript(source: Exportable, folder: Path) -> None:
    """Write `model.torchscript` by tracing. The batch is free; the input's size is the preprocessing's."""
    graph = source.graph()
    require_torchs_own(graph, into="TorchScript")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the deprecation, which the table of targets states, and the tracer's advice
        traced = torch.jit.trace(graph, source.example())  # type: ignore[no-untyped-call]
        with tempfile.TemporaryDirectory() as scratch, replacing(folder / FILE) as temporary:
            # Under its own name, which torch writes into the file's inner paths.
            torch.jit.save(traced, Path(scratch) / FILE)
            _without_debug_files(Path(scratch) / FILE, temporary)


def _without_debug_files(source: Path, out: Path) -> None:
    """Copy the archive but for what tells where operations stand in the source, with the folders of the machine that trained.

    Members stay uncompressed and where torch put them: it reads tensors in place, at multiples of 64 bytes.
    """
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as written:
        for member in archive.infolist():
            if member.filename.endswith(".debug_pkl"):
                continue
            kept = zipfile.ZipInfo(member.filename, member.date_time)
            start = (written.fp.tell() if written.fp else 0) + 30 + len(member.filename.encode())
            padding = -(start + 4) % 64
            kept.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
            written.writestr(kept, archive.read(member))


def open_torchscript_answers(folder: Path, source: Exportable) -> Answers:
    """What the written file answers, in torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(folder / FILE)  # type: ignore[no-untyped-call]

    return answers_in_torch(module, source.outputs)
