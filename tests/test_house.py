"""The rules of the house: rooms import downwards only, the inference side lives without torch, files stay small."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pocketvision
from pocketvision.bundle import Bundle

SOURCE = Path(pocketvision.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# From the ground up: a room imports only rooms that stand before it.
ROOMS = (
    "printable",
    "redaction",
    "log_lines",
    "json_text",
    "csv_text",
    "errors",
    "atomic_files",
    "growing_file",
    "utf8_path",
    "prefetch",
    "style",
    "predictions",
    "preprocessing",
    "postprocessing",
    "baseline",
    "bundle_figures",
    "bundle_manifest",
    "bundle",
    "models",
    "runtime",
    "data",
    "tasks",
    "export",
    "training",
    "evaluation",
    "explain",
    "compression",
    "client",
    "serving",
    "streaming",
    "workflows",
    "cli",
)
DOORS = ("__init__", "__main__")  # the package's own: they name what is inside, lazily

TORCH_FREE = (
    "printable",
    "redaction",
    "log_lines",
    "json_text",
    "csv_text",
    "errors",
    "atomic_files",
    "growing_file",
    "utf8_path",
    "prefetch",
    "style",
    "predictions",
    "preprocessing",
    "postprocessing",
    "baseline",
    "bundle_figures",
    "bundle_manifest",
    "bundle",
    "runtime",
    "data",
    "evaluation",
    "client",
    "serving",
    "streaming",
    "cli",
)
TORCH_FREE_VERBS = (
    "check",
    "client",
    "evaluate",
    "find_images",
    "load",
    "models",
    "predict",
    "prediction_rows",
    "pretrained",
    "serve",
    "stream",
    "stream_lines",
    "verify",
)

# Not even installed with `pip install pocketvision`, or slow to import: never at the top of a torch-free file.
HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "sklearn",
    "scipy",
    "matplotlib",
    "pandas",
    "pyarrow",
    "onnx",
    "onnxscript",
    "jinja2",
    "av",
    "cv2",
)


def module_of(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imported_by(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and module of every import of our own in a file, at its top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.startswith("pocketvision"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write the whole name"
            if node.module == "pocketvision":
                yield from ((node.lineno, f"pocketvision.{alias.name}") for alias in node.names)
            elif node.module is not None and node.module.startswith("pocketvision."):
                yield node.lineno, node.module


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_a_room_imports_only_rooms_before_it(file: Path) -> None:
    room = room_of(module_of(file))
    if room in DOORS:
        return
    assert room in ROOMS, f"{file.name} is in no room that tests/test_house.py knows; give {room} its place in ROOMS"
    wrong = [
        f"line {line}: {room} imports {module}"
        for line, module in imported_by(ast.parse(file.read_text(encoding="utf-8")))
        if room_of(module) != "__init__" and ROOMS.index(room_of(module)) > ROOMS.index(room)
    ]
    assert not wrong, f"{file.relative_to(SOURCE)}: {'; '.join(wrong)}. Rooms from the ground up: {', '.join(ROOMS)}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_files_and_functions_stay_small(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, f"{file.name} has {text.count(chr(10))} lines; 400 is the ceiling"
    assert file.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "tools"}, (
        f"{file.name} names no noun"
    )
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = lines_of_code(node)
            assert lines <= 60, f"{file.name}: {node.name} has {lines} lines; 60 fit a screen"


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body. Signature and docstring apart: a verb's options are a table, one a line."""
    first = function.body[1 if ast.get_docstring(function) and len(function.body) > 1 else 0]
    return (function.end_lineno or first.lineno) - first.lineno + 1


def run(script: str, *arguments: str, cwd: Path | None = None) -> str:
    """The standard output of a script in a fresh interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent), "PYTHONIOENCODING": "utf-8"}
    child = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        cwd=cwd,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout


WITHOUT_HEAVY = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Absent())
"""


def torch_free_modules() -> list[str]:
    modules = [module_of(file) for file in FILES]
    return [
        module
        for module in modules
        if room_of(module) in TORCH_FREE or module in [f"pocketvision.workflows.{verb}" for verb in TORCH_FREE_VERBS]
    ]


def test_the_inference_side_imports_without_torch() -> None:
    script = WITHOUT_HEAVY + "import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint('all')"
    assert run(script, *torch_free_modules()).strip() == "all"


def test_the_inference_side_predicts_without_torch(tiny_bundle: Bundle, tmp_path: Path) -> None:
    script = WITHOUT_HEAVY + (
        "import numpy, pocketvision\n"
        "from pocketvision.workflows.predict import predict\n"
        "from pocketvision.workflows.verify import verify\n"
        "image = numpy.full((40, 30, 3), (250, 0, 0), dtype=numpy.uint8)\n"
        "from PIL import Image; Image.fromarray(image).save('red.png')\n"
        "summary = predict(sys.argv[1], ['red.png'], out='answers.jsonl')\n"
        "streamed = pocketvision.stream(sys.argv[1], '.').answered\n"
        "print(pocketvision.load(sys.argv[1])(image).label, summary.failed, verify(sys.argv[1]).images, streamed)\n"
    )
    assert run(script, str(tiny_bundle.folder), cwd=tmp_path).split() == ["red", "0", "3", "1"]
    assert '"label": "red"' in (tmp_path / "answers.jsonl").read_text(encoding="utf-8")
    verb = WITHOUT_HEAVY + "from pocketvision.cli.main import main\nmain()"
    assert "red" in run(verb, "predict", str(tiny_bundle.folder), "red.png", cwd=tmp_path)


SHOW_LOADED = (
    "heavy = {'numpy', 'PIL', 'onnxruntime', 'safetensors', 'torch', 'sklearn', 'matplotlib', 'av', 'cv2'}\n"
    "print(sorted(set(sys.modules) & heavy))"
)


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert run(f"import sys, pocketvision\n{SHOW_LOADED}").strip() == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["stream", "--help"], ["train", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom pocketvision.cli.main import main\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code, stop.code\n"
    )
    shown = run(script + SHOW_LOADED, *arguments)
    assert "Usage" in shown
    assert shown.strip().splitlines()[-1] == "[]"
