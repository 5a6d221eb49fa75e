"""The table of export targets. A new one is a file beside this and a row here."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pocketvision.errors import unknown_name
from pocketvision.export import (
    to_coreml,
    to_executorch,
    to_free_size_onnx,
    to_litert,
    to_onnx,
    to_openvino,
    to_program,
    to_torchscript,
    to_uint8_onnx,
    to_weights,
)
from pocketvision.export.exportable import Answers, Exportable


@dataclass(frozen=True)
class Target:
    """What a target writes and how its answers are had.

    `files` are written by `write` into a folder; `open_answers` runs them there, as their users will. `lossless`: its answers
    have to be the network's to within the agreement's tolerance; else its loss of accuracy is measured and bounded. `batch`:
    images a run, None for any number. `takes_pixels`: its input is the image itself. `free_size`: preprocessed ones of any size.
    `calibrated`: in 8 bits, whose ranges are found on the Exportable's calibration images. `system`: the only one (in
    platform.system's word) that can run it; elsewhere it is written and not run. `legacy` ones are for old hosts.
    """

    files: tuple[str, ...]
    write: Callable[[Exportable, Path], None]
    open_answers: Callable[[Path, Exportable], Answers]
    what: str
    lossless: bool = True
    is_graph: bool = True
    batch: int | None = None
    takes_pixels: bool = False
    free_size: bool = False
    system: str = ""
    calibrated: bool = False
    legacy: bool = False

    @property
    def runs_here(self) -> bool:
        """Whether this machine's system can run it."""
        return self.system in ("", platform.system())


TARGETS: dict[str, Target] = {
    "onnx": Target((to_onnx.FILE,), to_onnx.write_onnx, to_onnx.open_onnx_answers, "ONNX, any runtime"),
    "onnx-uint8": Target(
        (to_uint8_onnx.FILE,),
        to_uint8_onnx.write_uint8_onnx,
        to_uint8_onnx.open_uint8_answers,
        "ONNX that takes an image of any size and preprocesses it itself",
        lossless=False,
        batch=1,
        takes_pixels=True,
    ),
    "onnx-free-size": Target(
        (to_free_size_onnx.FILE,),
        to_free_size_onnx.write_free_size_onnx,
        to_free_size_onnx.open_free_size_answers,
        "ONNX for preprocessed images of any size",
        free_size=True,
    ),
    "openvino": Target(
        to_openvino.FILES, to_openvino.write_openvino, to_openvino.open_openvino_answers, "OpenVINO, float32 weights"
    ),
    "openvino-fp16": Target(
        to_openvino.FILES,
        to_openvino.write_openvino_fp16,
        to_openvino.open_openvino_answers,
        "OpenVINO, float16 weights",
        lossless=False,
    ),
    "program": Target(
        (to_program.FILE,), to_program.write_program, to_program.open_program_answers, "torch.export's program"
    ),
    "torchscript": Target(
        (to_torchscript.FILE,),
        to_torchscript.write_torchscript,
        to_torchscript.open_torchscript_answers,
        "TorchScript, for old hosts",
        legacy=True,
    ),
    "executorch": Target(
        (to_executorch.FILE,),
        to_executorch.write_executorch,
        to_executorch.open_executorch_answers,
        "ExecuTorch on XNNPACK, for phones",
        batch=1,
    ),
    "executorch-int8": Target(
        (to_executorch.FILE,),
        to_executorch.write_executorch_int8,
        to_executorch.open_executorch_answers,
        "the same in 8 bits",
        lossless=False,
        batch=1,
        calibrated=True,
    ),
    "litert": Target(
        (to_litert.FILE,), to_litert.write_litert, to_litert.open_litert_answers, "LiteRT, for Android", batch=1
    ),
    "coreml": Target(
        to_coreml.FILES,
        to_coreml.write_coreml,
        to_coreml.open_coreml_answers,
        "Core ML, for Apple's devices",
        batch=1,
        system=to_coreml.SYSTEM,
    ),
    "timm": Target(
        to_weights.TIMM_FILES,
        to_weights.write_timm,
        to_weights.open_timm_answers,
        "weights in timm's key layout",
        is_graph=False,
    ),
    "torchvision": Target(
        to_weights.TORCHVISION_FILES,
        to_weights.write_torchvision,
        to_weights.open_torchvision_answers,
        "weights in torchvision's key layout",
        is_graph=False,
    ),
}


def target_named(name: str) -> Target:
    """The target called `name`. Raises UsageError that lists near matches."""
    if name not in TARGETS:
        raise unknown_name("export target", name, TARGETS)
    return TARGETS[name]
