"""The recipes of the demo's questions, and what is told of them."""

from pocketvision.data.demo_faces import CHEERFUL, TEASING
from pocketvision.training.recipe import Recipe
from pocketvision.training.setting_values import changed

_SOLVED = {"model.head": "grid_linear", "data.size": 128, "phases.1.solver": "ridge", "phases.2.epochs": 0}

# Question → recipe. Cheerful: chosen on frozen features over splits 100 to 109; benchmarks/demo_splits.py measures it on 0 to 9.
# Teasing: the reference job's, but for the second stage's 20 epochs: with 8 it took 87 s on two quiet cores, and leaves room
# below three minutes for slower ones.
_BEFORE = changed(Recipe(), {"phases.1.epochs": 15, "phases.2.lr": 1e-4, "schedule.name": "plateau"})
RECIPES = {
    CHEERFUL: changed(Recipe(), _SOLVED),
    TEASING: changed(_BEFORE, {"phases.2.epochs": 8, "data.balance_to": 250, "loss.class_weights": {"teasing": 2.0}}),
}
# Neck and head alone, on a smaller input than a plain run's: enough for drawings.
_SCENES = {"data.size": 192, "cache.views": 3, "phases.1.epochs": 14, "phases.2.epochs": 0, "batch": 16}
SCENE_RECIPES = {task: changed(Recipe(), _SCENES) for task in ("detection", "segmentation", "all")}
POSITIVES = {CHEERFUL: "upset", TEASING: "teasing"}


def told(recipe: Recipe) -> str:
    """What is not as in a plain run."""
    weights = recipe.loss.class_weights
    if recipe.phases[0].solver == "ridge":
        text = (
            f"The demo solves its head in one pass, on three middle stages of the frozen network at {recipe.data.size} pixels; "
            "a plain run goes on and trains the last stages."
        )
    elif recipe.phases[1].epochs == 0:
        text = (
            f"The demo trains heads alone, on the frozen network's maps at {recipe.data.size} pixels; a plain run goes on and "
            "trains the last stages."
        )
    else:
        text = (
            f"The demo's phase 2 has {recipe.phases[1].epochs} epochs (a real run: as many as its pictures call for)."
        )
    if recipe.data.balance_to is not None:
        text += f" Classes are balanced to {recipe.data.balance_to} training images."
    if not isinstance(weights, str):
        text += "".join(f" {name} weighs {weight} in the loss." for name, weight in weights.items())
    return text
