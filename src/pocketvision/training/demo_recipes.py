"""The recipes of the demo's questions, and what is told of them."""

from pocketvision.data.demo_faces import CHEERFUL, TEASING
from pocketvision.training.recipe import Recipe
from pocketvision.training.setting_values import changed

# Question → recipe. Cheerful: benchmarks/demo_splits.py measures it over 10 splits. Teasing: the reference job's, but for the
# second stage's 20 epochs: with 8 it took 87 s on two quiet cores, and leaves room below three minutes for slower ones.
_BEFORE = changed(Recipe(), {"phases.1.epochs": 15, "phases.2.lr": 1e-4, "schedule.name": "plateau"})
RECIPES = {
    CHEERFUL: changed(_BEFORE, {"phases.2.epochs": 8, "cache.views": 8}),
    TEASING: changed(_BEFORE, {"phases.2.epochs": 8, "data.balance_to": 250, "loss.class_weights": {"teasing": 2.0}}),
}
POSITIVES = {CHEERFUL: "upset", TEASING: "teasing"}


def told(recipe: Recipe) -> str:
    """What is not as in a plain run."""
    plain, weights = Recipe(), recipe.loss.class_weights
    text = f"The demo's phase 2 has {recipe.phases[1].epochs} epochs (a real run: as many as its pictures call for)."
    if recipe.cache.views != plain.cache.views:
        text += f" Each picture is seen in {recipe.cache.views} views (a real run: {plain.cache.views})."
    if recipe.data.balance_to is not None:
        text += f" Classes are balanced to {recipe.data.balance_to} training images."
    if not isinstance(weights, str):
        text += "".join(f" {name} weighs {weight} in the loss." for name, weight in weights.items())
    return text
