"""The documents keep their word: commands parse, the cheap ones are run, links lead somewhere, tables match the code."""

import ast
import inspect
import io
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from bursts import features_of_pixels
from colour_segmenter import segmenter
from colour_segmenter import write_pictures as coloured_pictures
from composed_pictures import write_pictures, write_tasks
from data.boxes.drawn_sets import voc
from data.masks.masked_sets import mask_folder
from PIL import Image
from served import starting
from square_detector import detector

import pocketvision
from pocketvision.cli.main import main
from pocketvision.cli.verbs import app
from pocketvision.data.demo_faces import faces_folder
from pocketvision.data.finding import KINDS
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.published_networks import NETWORKS
from pocketvision.training.recipe import Recipe
from pocketvision.training.recipe_file import read_recipe
from pocketvision.training.setting import said, settings_of
from pocketvision.training.setting_values import names_of, values_of

if TYPE_CHECKING:
    from pocketvision.workflows.training_run import TrainResult

ROOT = Path(__file__).parents[1]
README, KOREAN = ROOT / "README.md", ROOT / "README.ko.md"
GUIDES = (README, KOREAN, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/architectures").glob("*.md")))
OTHERS = ("benchmarks/README.md", "CONTRIBUTING.md", "CHANGELOG.md", "THIRD_PARTY_NOTICES.md")
DOCUMENTS = (*GUIDES, *(ROOT / name for name in OTHERS))
VERBS = typer.main.get_command(app).commands


def blocks(document: Path, *languages: str) -> list[str]:
    """The fenced code blocks of a document in these languages."""
    fenced = re.findall(r"^```(\w+)\n(.*?)^```$", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [code for language, code in fenced if language in languages]


def commands(document: Path) -> list[list[str]]:
    """The words of every shell command, those of a pipe apart. In a console block, commands are the lines after `$`."""
    lines = [line for code in blocks(document, "sh") for line in code.replace("\\\n", " ").splitlines()]
    consoles = [line for code in blocks(document, "console") for line in code.replace("\\\n", " ").splitlines()]
    lines += [line.removeprefix("$ ") for line in consoles if line.startswith("$ ")]
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        while "|" in words:
            found.append(words[: words.index("|")])
            words = words[words.index("|") + 1 :]
        found.append(words)
    return [words for words in found if words]


def our_commands(*documents: Path) -> list[str]:
    """Every different `pocketvision …` command of the documents, in their order."""
    found = [shlex.join(words) for each in documents for words in commands(each) if words[0] == "pocketvision"]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("command", our_commands(*GUIDES))
def test_a_command_parses(command: str) -> None:
    _, verb, *arguments = shlex.split(command)
    assert verb in VERBS, f"there is no verb {verb!r}"
    VERBS[verb].make_context(verb, arguments)
    inner = getattr(VERBS[verb], "commands", None)  # those of `models`
    if inner and arguments and not arguments[0].startswith("-"):
        assert arguments[0] in inner, f"{verb} has no verb {arguments[0]!r}"
        inner[arguments[0]].make_context(arguments[0], arguments[1:])


def test_benchmarks_are_called_as_they_want() -> None:
    called = [words for words in commands(ROOT / "benchmarks/README.md") if words[0] == "python"]
    assert {Path(words[1]).name for words in called} == {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    for _, script, *arguments in called:
        source = (ROOT / script).read_text(encoding="utf-8")
        assert [word for word in arguments if word.startswith("--") and f'"{word}"' not in source] == []


# The workshop: what the commands speak of, in a folder of its own, and the README's training really done --------------

TRAINING = "pocketvision train photos/ --test-share 0.2"
# Everything else of the documented training is as documented, but for the network: a small one stands in.
SETTINGS = {"epochs1": 1, "epochs2": 1, "views": 1, "size": 64}
# Not run: demo and import (tests of their own), other trainings, and names of models, which are converted at full size.
CHEAP_VERBS = ("check", "convert", "evaluate", "predict", "verify", "models", "client")
# Where the documents' server is; the one of the tests has any free port.
SERVER = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Workshop:
    folder: Path
    result: "TrainResult"
    server: str


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, small_network: dict[str, str]) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("workshop")
    for design, copy in (("noto", "photos"), ("fluent", "photos"), ("twemoji", "more-photos")):
        for picture in faces_folder().glob(f"*/*-{design}.png"):
            target = folder / copy / picture.parent.name / picture.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, target)
    rows = [f"{path.relative_to(folder).as_posix()},{path.parent.name}" for path in folder.glob("photos/*/*.png")]
    (folder / "samples.csv").write_text("\n".join(["path,label", *sorted(rows)]), encoding="utf-8")
    more = sorted(path.relative_to(folder).as_posix() for path in folder.glob("more-photos/*/*.png"))
    told = [f"{path},{Path(path).parent.name},{'ab'[place % 2]},one" for place, path in enumerate(more)]
    (folder / "more-photos.csv").write_text("\n".join(["path,label,place,camera", *told]), encoding="utf-8")
    tagged = [f"{row};odd" if number % 2 else row for number, row in enumerate(sorted(rows))]
    (folder / "tagged.csv").write_text("\n".join(["path,tags", *tagged]), encoding="utf-8")
    (example,) = blocks(ROOT / "docs/architectures/mnasnet.md", "toml")
    (folder / "found.toml").write_text(example, encoding="utf-8")
    voc(folder).rename(folder / "cells")
    write_tasks(folder / "scenes", write_pictures(folder / "scenes", 16))
    mask_folder(folder).rename(folder / "streets")
    segmenter(folder / "runs/streets/bundle")
    coloured_pictures(folder / "more-streets")
    (folder / "key.txt").write_text("any-key", encoding="utf-8")  # the server wants none
    detector(folder / "detector/bundle")
    (folder / "new").mkdir()
    for name in ("photo.jpg", "new/one.jpg", "new/two.jpg"):
        Image.open(faces_folder() / "teasing/winking_face-openmoji.png").convert("RGB").save(folder / name)
    from pocketvision.workflows.train import train

    results: list[TrainResult] = []

    def cheaply(data: Path, **options: Any) -> "TrainResult":
        results.append(train(data, **{**options, **SETTINGS, **small_network}))
        return results[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pocketvision.workflows.train.train", cheaply)
        patch.setattr("pocketvision.training.grouping.frozen_features", features_of_pixels)
        patch.chdir(folder)
        assert exit_code(TRAINING) == 0
    with starting(folder / results[0].bundle.folder, folder, "photos") as start:
        yield Workshop(folder, results[0], start().url)
    shutil.rmtree(folder)


def exit_code(command: str) -> int:
    try:
        main(shlex.split(command)[1:])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def is_cheap(command: str) -> bool:
    words = shlex.split(command)
    if words[1] == "stream":  # the other sources are a camera and a network
        return "test-pattern" in words
    if words[1:3] == ["client", "reload"]:  # for servers with keys
        return False
    return words[1] in CHEAP_VERBS and not set(words) & {*ARCHITECTURES, *NETWORKS}


def test_cheap_commands_run(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TRAINING in our_commands(README)
    monkeypatch.chdir(workshop.folder)
    for command in filter(is_cheap, our_commands(*GUIDES)):
        monkeypatch.setattr(sys, "stdin", io.StringIO("photo.jpg\n"))
        assert exit_code(command.replace(SERVER, workshop.server)) == 0, command
    for file in ("runs/more/report.html", "answers.csv", "answers.jsonl", "audit.json", "val.json", "models.json"):
        assert Path(file).stat().st_size > 0, file


def test_files_of_a_run_are_as_described(workshop: Workshop) -> None:
    described = (ROOT / "docs/report.md").read_text(encoding="utf-8")
    for path in (workshop.folder / workshop.result.run).iterdir():
        assert f"`{path.name}" in described, path.name


def test_python_blocks_run(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = inspect.signature(pocketvision.train)

    def trained(*arguments: Any, **options: Any) -> "TrainResult":
        signature.bind(*arguments, **options)
        return workshop.result

    monkeypatch.setattr(pocketvision, "train", trained)
    monkeypatch.chdir(workshop.folder)
    for document in GUIDES:
        for code in blocks(document, "python"):
            exec(compile(code.replace(SERVER, workshop.server), str(document), "exec"), {})


# What the documents say beside their commands -------------------------------------------------------------------------


def test_both_readmes_show_the_same_commands() -> None:
    assert commands(README) == commands(KOREAN)
    python = [[ast.dump(ast.parse(code)) for code in blocks(readme, "python")] for readme in (README, KOREAN)]
    assert python[0] == python[1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [target for target in targets if not (document.parent / target.partition("#")[0]).exists()]
    assert not missing


def test_make_targets_exist() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for document in DOCUMENTS:
        named = re.findall(r"`make ([\w-]+)`", document.read_text(encoding="utf-8"))
        named += [words[1] for words in commands(document) if words[0] == "make"]
        assert set(named) <= set(targets), document.name


def table(document: Path, first_header: str) -> list[list[str]]:
    """The cells of the table whose first column is called `first_header`, backticks taken off."""
    text = document.read_text(encoding="utf-8")
    found = re.search(rf"^\| {first_header} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    assert found, f"{document.name} has no table of {first_header}"
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in found[1].splitlines()]


def test_every_option_of_train_is_described() -> None:
    def options(hidden: bool) -> set[str]:
        shown = [parameter for parameter in VERBS["train"].params if hidden or not getattr(parameter, "hidden", False)]
        found = {option for parameter in shown for option in (*parameter.opts, *parameter.secondary_opts)}
        return {option for option in found if option.startswith("--")}

    rows = {each for row in table(ROOT / "docs/training.md", "option") for each in row[0].split(", ")}
    assert rows == options(hidden=False)
    training = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    assert set(re.findall(r"--[a-z][a-z0-9-]*", training)) <= options(hidden=True)


def test_every_setting_of_a_recipe_is_described() -> None:
    """The table is what the settings' own metadata say; `make` nothing by hand: print setting_rows() and paste them."""
    assert table(ROOT / "docs/training.md", "setting") == [[*row] for row in setting_rows()]


def test_the_recipe_of_the_guide_is_read(tmp_path: Path) -> None:
    (example,) = (each for each in blocks(ROOT / "docs/training.md", "toml") if "cutmix" in each)
    (tmp_path / "recipe.toml").write_text(example, encoding="utf-8")
    found = read_recipe(tmp_path / "recipe.toml")
    assert [phase.unfreeze for phase in found.phases] == [0, 2, 4]
    assert (found.optimizer.clip, found.schedule.name, found.regularisation.cutmix) == (5.0, "cosine", 1.0)


def setting_rows() -> list[tuple[str, str, str, str]]:
    """Path, default, meaning with what is allowed, and flat name of each."""
    values, rows = values_of(Recipe()), []
    for each in settings_of(Recipe):
        numbers = [path for path in values if path.replace(".1.", ".*.").replace(".2.", ".*.") == each.path]
        defaults = [each.unset if values[path] is None else said(values[path]) for path in numbers]
        allowed = f" ({each.allowed})" if each.allowed and Mapping not in each.kinds else ""
        unit = f" [{each.unit}]" if each.unit else ""
        names = ", ".join(f"--{name.replace('_', '-')}" for name in names_of(each) if name)
        path = each.path.replace("*", "N")
        rows.append(
            (path, ", ".join(dict.fromkeys(defaults)), f"{each.help}{unit}{allowed}".replace("`", ""), names or "–")
        )
    return rows


@pytest.mark.parametrize(
    "verb", ["prune", "fit", "quantize", "export", "serve", "stream", "threshold", "client predict"]
)
def test_every_option_is_named_on_the_page_of_its_verb(verb: str) -> None:
    first, _, second = verb.partition(" ")
    page = (ROOT / f"docs/{first}.md").read_text(encoding="utf-8")
    command = VERBS[first].commands[second] if second else VERBS[first]
    spellings = [(*parameter.opts, *parameter.secondary_opts) for parameter in command.params]
    options = [each for each in spellings if each[0].startswith("--")]
    missing = [each for each in options if not any(re.search(rf"{option}(?![\w-])", page) for option in each)]
    assert options and not missing


def test_defaults_of_train_are_as_described() -> None:
    described = {row[0].split(",")[0]: row[1] for row in table(ROOT / "docs/training.md", "option")}
    for parameter in VERBS["train"].params:
        if parameter.opts[0].startswith("--") and not parameter.hidden:
            stated = re.search(r"\[default: (.+)\]", parameter.help or "")
            default = stated[1] if stated else "–" if parameter.default is None else parameter.default
            default = {True: "on", False: "off"}[default] if isinstance(default, bool) else default
            found = described[parameter.opts[0]]
            same = float(found) == default if isinstance(default, int | float) else found == default
            assert same, f"{parameter.opts[0]}: docs/training.md says {found}, the command line {default}"


def test_findings_and_families_are_as_described() -> None:
    assert [(row[0], row[1]) for row in table(ROOT / "docs/data.md", "finding")] == list(KINDS.items())
    pages = [re.findall(r"\(architectures/(\w+)\.md\)", row[0]) for row in table(ROOT / "docs/models.md", "family")]
    assert pages == [[family] for family in dict.fromkeys(row.family for row in ARCHITECTURES.values())]
