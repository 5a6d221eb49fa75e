"""The recipes of the demo's questions, and what is told of them."""

from pocketvision.data.demo_faces import CHEERFUL, TEASING
from pocketvision.training.recipe import DEFAULT_PHASES, Recipe
from pocketvision.training.setting_values import changed

# Question → recipe. Cheerful: benchmarks/demo_splits.py measures it over 10 splits. Teasing: the reference job's, but for the
# second stage's 20 epochs: with 8 it took 87 s on two quiet cores, and leaves room below three minutes for slower ones.
RECIPES = {
    CHEERFUL: changed(Recipe(), {"phases.2.epochs": 8, "cache.views": 8}),
    TEASING: changed(Recipe(), {"phases.2.epochs": 8, "data.balance_to": 250, "loss.class_weights": {"teasing": 2.0}}),
}
POSITIVES = {CHEERFUL: "upset", TEASING: "teasing"}


def told(recipe: Recipe) -> str:
    """What is not as in a plain run."""
    plain, weights = Recipe(), recipe.loss.class_weights
    text = f"The demo caps stage 2 at {recipe.phases[1].epochs} epochs (a real run: {DEFAULT_PHASES[1].epochs})."
    if recipe.cache.views != plain.cache.views:
        text += f" Each picture is seen in {recipe.cache.views} views (a real run: {plain.cache.views})."
    if recipe.data.balance_to is not None:
        text += f" Classes are balanced to {recipe.data.balance_to} training images."
    if not isinstance(weights, str):
        text += "".join(f" {name} weighs {weight} in the loss." for name, weight in weights.items())
    return text
