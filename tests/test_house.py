"""The rules of the house: rooms import downwards only, the inference side lives without torch, files stay small."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import pocketvision
from pocketvision.bundle import Bundle

SOURCE = Path(pocketvision.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
TESTS = Path(__file__).parent

# From the ground up: a room imports only rooms that stand before it.
ROOMS = (
    "printable",
    "redaction",
    "log_lines",
    "json_text",
    "csv_text",
    "errors",
    "plugins",
    "atomic_files",
    "growing_file",
    "utf8_path",
    "prefetch",
    "statistics",
    "style",
    "preprocessing",
    "tasks",
    "baseline",
    "bundle_figures",
    "bundle_manifest",
    "bundle",
    "models",
    "runtime",
    "data",
    "export",
    "progress",
    "training",
    "evaluation",
    "explain",
    "compression",
    "combining",
    "costs",
    "benchmarking",
    "diagnosis",
    "client",
    "serving",
    "streaming",
    "workflows",
    "cli",
)
ENTRY_POINTS = ("__init__", "__main__")  # the package's own: they name what is inside, lazily

TORCH_FREE = (
    "printable",
    "redaction",
    "log_lines",
    "json_text",
    "csv_text",
    "errors",
    "plugins",
    "atomic_files",
    "growing_file",
    "utf8_path",
    "prefetch",
    "statistics",
    "style",
    "preprocessing",
    "tasks",
    "baseline",
    "bundle_figures",
    "bundle_manifest",
    "bundle",
    "runtime",
    "data",
    "evaluation",
    "benchmarking",
    "client",
    "serving",
    "streaming",
    "cli",
)
TORCH_FREE_VERBS = (
    "benchmark",
    "benchmark_service",
    "changes",
    "check",
    "client",
    "evaluate",
    "load",
    "models",
    "predict",
    "pretrained",
    "serve",
    "stream",
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
    if room in ENTRY_POINTS:
        return
    assert room in ROOMS, f"{file.name} is in no room that tests/test_house.py knows; give {room} its place in ROOMS"
    wrong = [
        f"line {line}: {room} imports {module}"
        for line, module in imported_by(ast.parse(file.read_text(encoding="utf-8")))
        if room_of(module) != "__init__" and ROOMS.index(room_of(module)) > ROOMS.index(room)
    ]
    assert not wrong, f"{file.relative_to(SOURCE)}: {'; '.join(wrong)}. Rooms from the ground up: {', '.join(ROOMS)}"


def function_lengths(module: str, text: str) -> Iterator[tuple[str, int]]:
    """Every function of a module (its name without the package's) by its whole name, with its lines.

    A verb (a function of workflows or cli that is called as its file) is counted from its first statement on: its signature and
    docstring are the list of its options, one a line.
    """
    *room, file = module.split(".")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            is_verb = room in (["workflows"], ["cli"]) and node.name == file
            first = node.body[1 if ast.get_docstring(node) else 0].lineno if is_verb else node.lineno
            yield f"{module}.{node.name}", (node.end_lineno or node.lineno) - first + 1


def lengths_in(file: Path) -> Iterator[tuple[str, int]]:
    return function_lengths(module_of(file).removeprefix("pocketvision."), file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_files_and_functions_stay_small(file: Path) -> None:
    """A file has 400 lines at most, a function 60 with signature and docstring, a verb 60 without them."""
    text = file.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, f"{file.name} has {text.count(chr(10))} lines; 400 is the ceiling"
    assert file.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "tools"}, (
        f"{file.name} names no noun"
    )
    for name, lines in lengths_in(file):
        assert lines <= 60, f"{name} has {lines} lines; 60 are allowed"


def test_workflows_only_compose() -> None:
    """What a verb does itself belongs into a room."""
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in (SOURCE / "workflows").glob("*.py"))
    assert lines <= 4000, f"workflows/ has {lines} lines; 4000 are allowed"


def test_a_verb_is_counted_without_its_options() -> None:
    text = 'def {}(\n    one,\n    two,\n):\n    """What it does.\n\n    one: an option."""\n    import os\n\n    return os\n'
    for module, name, lines in (
        ("workflows.stir", "stir", 3),
        ("cli.stir", "stir", 3),
        ("workflows.stir", "_mix", 10),
        ("data.stir", "stir", 10),
        ("cli.models.stir", "stir", 10),
    ):
        assert list(function_lengths(module, text.format(name))) == [(f"{module}.{name}", lines)]


@pytest.mark.parametrize("folder", [SOURCE, TESTS], ids=["src", "tests"])
def test_no_imports_go_in_circles(folder: Path) -> None:
    """Also inside functions, where they would only show at run time, and for type checking."""
    files = sorted(folder.rglob("*.py"))
    modules = {module_of(file) if folder == SOURCE else file.stem: file for file in files}
    imports = {name: set(modules_imported(file, modules)) - {"pocketvision"} for name, file in modules.items()}
    assert circles(imports) == []


def modules_imported(file: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """The modules among `modules` that a file imports. `from package import name` is the module `name` where there is one."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            named = (name if name in modules else node.module for name in inner)
            yield from (name for name in named if name in modules)


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that all lead to each other (Tarjan 1972)."""
    found: list[list[str]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        path.append(module)
        for other in sorted(imports[module]):
            if other not in number:
                visit(other)
            if other in path:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == number[module]:
            group = path[path.index(module) :]
            del path[path.index(module) :]
            if len(group) > 1 or module in imports[module]:
                found.append(sorted(group))

    for module in imports:
        if module not in number:
            visit(module)
    return found


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": set(), "d": {"a"}}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"d"}, "e": {"a"}}) == [["a", "b", "c"], ["d"]]


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


def test_what_measures_needs_no_server_and_no_client(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """`pip install "pocketvision[train]"` brings neither."""
    absent = ("httpx", "anyio", "websockets", "fastapi", "starlette", "uvicorn", "httptools", "prometheus_client", "av")
    script = WITHOUT_HEAVY.replace(repr(HEAVY), repr(absent)) + (
        "import shutil\n"
        "from pathlib import Path\n"
        "from PIL import Image\n"
        "from pocketvision.errors import MissingExtraError\n"
        "from pocketvision.workflows.compare import compare\n"
        "from pocketvision.workflows.evaluate import evaluate\n"
        "for name, colour in (('red', (250, 0, 0)), ('green', (0, 250, 0))):\n"
        "    Path('data', name).mkdir(parents=True)\n"
        "    Image.new('RGB', (30, 30), colour).save(Path('data', name, '0.png'))\n"
        "shutil.copytree(sys.argv[1], 'other')\n"
        "print(evaluate(sys.argv[1], 'data').metrics.accuracy, compare(sys.argv[1], 'other', 'data').images)\n"
        "try:\n    evaluate('http://127.0.0.1:1', 'data')\n"
        "except MissingExtraError as error:\n    print('client' in str(error))\n"
    )
    assert run(script, str(tiny_bundle.folder), cwd=tmp_path).split() == ["1.0", "2", "True"]


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


# Rooms that handle names of files and classes, which may hold bytes that are not UTF-8 (lone surrogates in Python).
NAMING = ("data", "training", "evaluation", "workflows", "cli", "bundle", "atomic_files", "export")
ALWAYS_UTF8 = ("json_text", "repr", "dumps", "hexdigest", "csv_line")


def _encodes_by_chance(node: ast.AST) -> str | None:
    """Why a call fails on a name that is not UTF-8, or None."""
    if not isinstance(node, ast.Call):
        return None
    function, names = ast.unparse(node.func), {each.arg: ast.unparse(each.value) for each in node.keywords}
    if names.get("ensure_ascii") == "False":
        return "ensure_ascii=False; json_text writes JSON"
    if function in ("csv.writer", "csv.DictWriter"):
        return f"{function}; csv_text writes CSV"
    writes = function.endswith(".write_text") or (function.endswith(".encode") and len(node.args) < 2)
    if not writes or "errors" in names or function == "atomic_files.write_text":
        return None
    said = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    if any(f"{each}(" in said for each in ALWAYS_UTF8) or isinstance(getattr(node.func, "value", None), ast.Constant):
        return None
    return f"{function}(…) without errors="


# What they write holds no name.
NAMELESS = {
    "bundle.py",
    "data/augment.py",
    "data/fingerprints.py",
    "evaluation/report/write.py",
    "export/to_torchscript.py",
    "training/trunk_cache.py",
    "workflows/feeding.py",
    "workflows/models.py",
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_names_are_written_by_a_stated_rule(file: Path) -> None:
    name = file.relative_to(SOURCE).as_posix()
    if room_of(module_of(file)) not in NAMING or name in NAMELESS:
        return
    tree = ast.parse(file.read_text(encoding="utf-8"))
    wrong = [f"line {node.lineno}: {why}" for node in ast.walk(tree) if (why := _encodes_by_chance(node))]  # type: ignore[attr-defined]
    assert not wrong, f"{name}: {'; '.join(wrong)}"
