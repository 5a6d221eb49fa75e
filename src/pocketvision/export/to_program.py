"""torch.export's program: `model.pt2`, for hosts with torch and without this package."""

from pathlib import Path

import torch
from torch import Tensor, nn

from pocketvision.atomic_files import replacing
from pocketvision.export.exportable import BATCH, Answers, Exportable, answers_in_torch
from pocketvision.export.unsupported import converted, require_torchs_own

FILE = "model.pt2"


def write_program(source: Exportable, folder: Path) -> None:
    """Write `model.pt2` with a free batch dimension."""

    def convert(graph: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
        with torch.no_grad():
            return torch.export.export(graph, (example,), dynamic_shapes=({0: torch.export.Dim(BATCH)},))

    graph = source.graph()
    require_torchs_own(graph, into="torch.export's program")
    program = converted(convert, graph, source.example(), into="torch.export's program")
    # Where every operation stands in the source, with the folders of the machine that trained.
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    with replacing(folder / FILE) as temporary:
        # Under its own name: torch writes that into the file's inner paths.
        inner = temporary.with_name(FILE)
        torch.export.save(program, inner)
        inner.replace(temporary)


def open_program_answers(folder: Path, source: Exportable) -> Answers:
    """What the written program answers, in torch."""
    module = torch.export.load(folder / FILE).module()

    return answers_in_torch(module, source.outputs)
