"""The pages on architectures keep their word: tables, drawings, sizes and the example file are the code's."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from pocketvision.models.catalog import ARCHITECTURES, architecture
from pocketvision.models.cost import cost
from pocketvision.models.drawing import draw
from pocketvision.models.published_weights import PUBLISHED_WEIGHTS
from pocketvision.models.spec import Architecture, StageRow
from pocketvision.models.summary import ModelSummary, summaries, summary
from pocketvision.models.vit import VisionTransformer

DOCS = Path(__file__).parents[1] / "docs"
INDEX = DOCS / "architectures/README.md"
PAGES = {path.stem: path for path in sorted((DOCS / "architectures").glob("*.md")) if path != INDEX}
FAMILIES = tuple(dict.fromkeys(row.family for row in ARCHITECTURES.values()))

STAGES = "| stage | block | kernel | stride | expansion | channels | repeats | squeeze |"
TRANSFORMERS = "| name | width | depth | heads | patch | mlp ratio |"
TOKENS = "| `{name}` at | tokens | multiply-adds |"
MEMBERS = "| name | input | parameters | multiply-adds | ImageNet top-1 |"
WITH_ALPHA = "| with alpha | parameters | multiply-adds | ImageNet top-1 |"
MODELS = "| family | members | smallest | largest |"

Table = list[list[str]]


def text_of(page: str) -> str:
    return PAGES[page].read_text(encoding="utf-8")


def tables(text: str, header: str) -> list[Table]:
    """The cells of every table that is headed exactly so, line by line."""
    found = re.findall(rf"^{re.escape(header)}\n\|[-|]+\|\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines()] for lines in found]


def page_of(name: str) -> str:
    """The family's page; networks for 32 pixels have one of their own."""
    row = ARCHITECTURES[name]
    return "small_cnn" if row.input_size == 32 else row.family


def members(page: str) -> list[ModelSummary]:
    return [line for line in summaries() if page_of(line.name) == page]


def stage_cells(number: int, row: StageRow) -> list[str]:
    squeeze = f"{row.squeeze_ratio:g}" if row.squeeze_ratio else "–"
    return [
        str(number),
        row.block,
        f"{row.kernel}x{row.kernel}",
        str(row.stride),
        f"{row.expansion:g}",
        str(row.channels),
        str(row.repeats),
        squeeze,
    ]


def transformer_cells(row: VisionTransformer) -> list[str]:
    return [f"`{row.name}`", *map(str, (row.width, row.depth, row.heads, row.patch)), f"{row.mlp_ratio:g}"]


def networks_with_rows(page: str) -> list[str]:
    """Those whose rows the page shows, from its headings."""
    return re.findall(r"^## Stages of `(\w+)`$", text_of(page), flags=re.MULTILINE)


def transformers(page: str) -> list[VisionTransformer]:
    """The page's members that have no rows; their stages are told by the fields that all of their blocks share."""
    rows = [ARCHITECTURES[line.name] for line in members(page)]
    return [row for row in rows if isinstance(row, VisionTransformer)]


def cost_cells(line: ModelSummary) -> list[str]:
    top1 = "–" if line.top1 is None else f"{line.top1:.1f} %"
    return [f"{line.parameters / 1e6:.2f} M", f"{line.macs / 1e6:,.0f} M", top1]


def test_every_family_has_its_page_and_the_index_links_it() -> None:
    assert set(PAGES) == set(FAMILIES)
    linked = re.findall(r"^- \[[^]]+\]\((\w+)\.md\): \S", INDEX.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert linked == list(FAMILIES)


@pytest.mark.parametrize("page", PAGES)
def test_stages_are_the_rows(page: str) -> None:
    names = networks_with_rows(page)
    found = tables(text_of(page), STAGES)
    assert (names or transformers(page)) and len(names) == len(found)
    for name, table in zip(names, found, strict=True):
        row = ARCHITECTURES[name]
        assert page_of(name) == page and isinstance(row, Architecture)
        assert table == [stage_cells(*numbered) for numbered in enumerate(row.stages)], name


@pytest.mark.parametrize("page", PAGES)
def test_a_transformers_table_is_its_fields(page: str) -> None:
    """All of them stand in one table, and a page of convolutional networks has none."""
    rows = transformers(page)
    assert tables(text_of(page), TRANSFORMERS) == ([[transformer_cells(row) for row in rows]] if rows else [])
    for row in rows:
        assert len(set(row.stage_lines())) == 1 and len(row.stage_lines()) == row.depth, f"{row.name}'s blocks differ"


def test_a_transformer_at_other_sizes_is_as_counted() -> None:
    name = "vit_tiny_16"
    row = ARCHITECTURES[name]
    assert isinstance(row, VisionTransformer)
    (table,) = tables(text_of("vit"), TOKENS.format(name=name))
    for size, tokens, macs in table:
        assert int(tokens) == (int(size) // row.patch) ** 2 + 1
        assert macs == f"{cost(row, size=int(size)).macs / 1e6:,.0f} M"


@pytest.mark.parametrize("page", PAGES)
def test_members_are_the_catalogues(page: str) -> None:
    (table,) = tables(text_of(page), MEMBERS)
    assert table == [[f"`{line.name}`", str(line.input_size), *cost_cells(line)] for line in members(page)]


def test_every_architecture_stands_on_one_page() -> None:
    named = Counter(row[0].strip("`") for page in PAGES for table in tables(text_of(page), MEMBERS) for row in table)
    assert named == Counter(list(ARCHITECTURES))


def with_alpha() -> Iterator[tuple[str, list[str]]]:
    """Page and line of every network whose name carries its alpha."""
    for page in PAGES:
        for table in tables(text_of(page), WITH_ALPHA):
            yield from ((page, row) for row in table)


def test_networks_with_alpha_are_as_counted() -> None:
    for page, (name, *figures) in with_alpha():
        line = summary(name.strip("`"))
        assert (line.family, cost_cells(line)) == (page, figures), name
    assert set(PUBLISHED_WEIGHTS) - set(ARCHITECTURES) <= {row[0].strip("`") for _, row in with_alpha()}


def test_drawings_are_what_is_drawn_now() -> None:
    shown = {page: re.findall(r"^!\[.+\]\(images/(\w+)\.svg\)$", text_of(page), flags=re.MULTILINE) for page in PAGES}
    assert all([page_of(name) for name in names] == [page] for page, names in shown.items()), shown
    files = {path.stem: path for path in (DOCS / "architectures/images").glob("*.svg")}
    assert set(files) == {name for names in shown.values() for name in names}
    for name, path in files.items():
        assert path.read_text(encoding="utf-8") == draw(ARCHITECTURES[name]), f"draw {name} anew"
        documented = [*networks_with_rows(page_of(name)), *(row.name for row in transformers(page_of(name)))]
        assert name in documented, f"{name} is drawn, but its stages stand in no table"


def required(kind: type[Architecture] | type[StageRow]) -> set[str]:
    return {field.name for field in fields(kind) if field.default is MISSING}


def test_the_example_of_a_searched_architecture_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```$", text_of("mnasnet"), flags=re.MULTILINE | re.DOTALL)
    path = tmp_path / "found.toml"
    path.write_text(example, encoding="utf-8")
    assert cost(architecture(str(path))).macs > 0
    content = tomllib.loads(example)
    assert set(content) == required(Architecture)
    assert set(content["stages"][0]) == required(StageRow)


def test_the_table_of_families_names_smallest_and_largest() -> None:
    def cell(line: ModelSummary) -> str:
        return f"`{line.name}`, {line.parameters / 1e6:.2f} M"

    (table,) = tables((DOCS / "models.md").read_text(encoding="utf-8"), MODELS)
    assert len(table) == len(FAMILIES)
    for page, (family, *cells) in zip(FAMILIES, table, strict=True):
        title = text_of(page).splitlines()[0].removeprefix("# ")
        assert family == f"[{title}](architectures/{page}.md)"
        by_size = sorted(members(page), key=lambda line: line.parameters)
        largest = next(line for line in by_size if line.parameters == by_size[-1].parameters)
        assert cells == [str(len(by_size)), cell(by_size[0]), cell(largest)]
