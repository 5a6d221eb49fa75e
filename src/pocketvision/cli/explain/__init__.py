"""`pocketvision explain …`: maps, and its sub-verbs, one file each."""

from typing import Any

import typer
from typer.core import TyperGroup

from pocketvision.cli.explain import embedding, errors, features, layers, maps, neighbours

MAPS = "maps"


class _MapsByDefault(TyperGroup):
    """`explain BUNDLE IMAGES` is `explain maps BUNDLE IMAGES`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [MAPS, *args]
        found: list[str] = super().parse_args(ctx, args)
        return found


app = typer.Typer(
    cls=_MapsByDefault,
    help="See where a model looks, what its layers hold and what a picture resembles. `explain BUNDLE IMAGES` is `explain maps`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command(name=MAPS)(maps.maps)
app.command(name="layers")(layers.layers)
app.command(name="features")(features.features)
app.command(name="neighbours")(neighbours.neighbours)
app.command(name="embedding")(embedding.embedding)
app.command(name="errors")(errors.errors)
