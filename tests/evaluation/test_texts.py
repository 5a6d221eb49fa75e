import re
from pathlib import Path
from string import Formatter

import pytest

import pocketvision.evaluation.report.render as render
from pocketvision.data.finding import KINDS, SEVERITIES
from pocketvision.evaluation.report.texts import LANGUAGES, texts
from pocketvision.tasks.catalog import TASKS

REPORT = Path(render.__file__).parent
TASK_REPORTS = [task.report().folder for task in TASKS.values()]
TABLES = [None, *TASK_REPORTS]
# Names of methods, measures and the file format that Korean writes like English.
SAME_IN_BOTH: set[str] = set()
# Groups whose keys are put together from a name: `named("audit", kind)`, `t("section." ~ id)` …
COMPOSED = (
    "section.",
    "figure.",
    "evaluation.",
    "recipe.",
    "agreement.",
    "timing.",
    "audit.",
    "severity.",
    "tag.",
    "headline.",
    "metric.",
    "intervals.",
    "calibration.",
    "nav.",
    "next.",
    "unset.",
    "kind.",
    "worst.",
    "worse.",
)


def placeholders(text: str) -> set[str]:
    """The names that a text wants filled in."""
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def source() -> str:
    """All templates and drawing code."""
    files = [
        file for folder in (REPORT, *TASK_REPORTS) for file in (*folder.glob("templates/*.j2"), *folder.glob("*.py"))
    ]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


@pytest.mark.parametrize("task", TABLES)
def test_both_languages_have_the_same_keys_and_placeholders(task: Path | None) -> None:
    english, korean = (texts(lang, task) for lang in LANGUAGES)
    assert list(english) == list(korean)
    for key in english:
        assert placeholders(english[key]) == placeholders(korean[key]), key


@pytest.mark.parametrize("task", TABLES)
def test_nothing_is_left_untranslated(task: Path | None) -> None:
    english, korean = (texts(lang, task) for lang in LANGUAGES)
    assert {key for key in english if english[key] == korean[key]} == SAME_IN_BOTH
    assert [key for key, text in english.items() if re.search("[가-힣]", text)] == []
    assert [key for key, text in korean.items() if not re.search("[가-힣]", text)] == []


def test_every_text_is_used_and_every_used_text_exists() -> None:
    code, table = source(), {key: text for task in TABLES for key, text in texts("en", task).items()}
    used = set(re.findall(r'(?:\bt|translate)\(\s*"([\w.]*\w)"', code))
    assert used <= set(table), used - set(table)
    unused = [key for key in table if f'"{key}"' not in code and not key.startswith(COMPOSED)]
    assert [key for key in unused if not key.startswith(("chart.train", "chart.val", "chart.loss", "chart.acc"))] == []


def test_templates_hold_no_words_of_their_own() -> None:
    for path in [path for folder in (REPORT, *TASK_REPORTS) for path in folder.glob("templates/*.j2")]:
        bare = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}|<[^>]*>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert re.findall(r"[^\W\d_]{3,}", bare.replace("PocketVision", "")) == [], path.name


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_finding_of_the_audit_has_a_name(lang: str) -> None:
    table = texts(lang)
    assert [kind for kind in KINDS if f"audit.{kind}" not in table] == []
    assert [severity for severity in SEVERITIES if f"severity.{severity}" not in table] == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_setting_of_the_recipe_has_a_name(lang: str) -> None:
    """Those of 0.1; a newer one may be called by its help."""
    from pocketvision.training.setting_aliases import ALIASES

    paths = [alias.setting.path.replace(".*.", ".") for alias in ALIASES.values()]
    assert [path for path in paths if f"recipe.{path}" not in texts(lang)] == []
