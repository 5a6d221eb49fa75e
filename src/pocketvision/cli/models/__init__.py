"""`pocketvision models …`: the catalogue and its sub-verbs, one file each."""

import typer

from pocketvision.cli.models import compare, info, list_models, recommend, scale, weights

app = typer.Typer(rich_markup_mode="markdown", pretty_exceptions_enable=False)
app.callback(invoke_without_command=True)(list_models.list_models)
app.command(name="info")(info.info)
app.command(name="compare")(compare.compare)
app.command(name="recommend")(recommend.recommend)
app.command(name="scale")(scale.scale)
app.command(name="weights")(weights.weights)
