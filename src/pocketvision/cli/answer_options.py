"""The options that say which tasks answer, how much, and what looks again at what was found; of predict, stream and client."""

from typing import Annotated

import typer

from pocketvision.errors import UsageError

_THEN = "A second look"

Tasks = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Only these tasks answer, with commas between them; the others cost nothing.  [default: all]",
    ),
]
Details = Annotated[
    list[str] | None,
    typer.Option(
        "--detail",
        metavar="TASK.NAME=VALUE",
        help="How much of a task's answer: top_k, min_score, most, masks or mask_form, as in detection.min_score=0.4; may be "
        "repeated.",
    ),
]
Then = Annotated[
    list[str] | None,
    typer.Option(
        metavar="BUNDLE",
        help="A second model that looks at each object found, such as a classifier: its answer stands at the object.",
        rich_help_panel=_THEN,
    ),
]
ThenModel = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="A second model of the server that looks at each object found: its answer stands at the object.",
        rich_help_panel=_THEN,
    ),
]
Of = Annotated[
    str | None,
    typer.Option(
        metavar="CLASSES",
        help="With --then: look at objects of these classes only.  [default: all]",
        rich_help_panel=_THEN,
    ),
]
Margin = Annotated[
    float,
    typer.Option(
        "--margin",
        min=0,
        max=1,
        help="With --then: by how much of its width and height a box is grown on each side.",
        rich_help_panel=_THEN,
    ),
]


def once(then: list[str] | None) -> str | None:
    """The bundle of --then. Raises UsageError where there are several: no model looks at what the second one says."""
    if not then:
        return None
    if len(then) > 1:
        raise UsageError(
            f"--then is given {len(then)} times ({', '.join(then)}), and one model looks at the objects. For other objects, or "
            "for another question about the same ones, run the verb once more; a bundle of several tasks answers all of its own."
        )
    return then[0]


def listed(value: str | None) -> list[str] | None:
    """Names with commas between them, or a JSON array for names that have some."""
    if value is None:
        return None
    if value.startswith("["):
        import json

        try:
            names = json.loads(value)
        except ValueError:
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UsageError(f"{value}: expected names with commas between them, or a JSON array of names.")
        return names
    return [name.strip() for name in value.split(",") if name.strip()]
