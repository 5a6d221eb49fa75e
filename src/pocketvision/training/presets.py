"""Recipes by name, each with where it is from. What is given beside a name, in a file or by `--set`, is put in its place."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pocketvision.training.augment_settings import AugmentSettings
from pocketvision.training.data_settings import DataSettings
from pocketvision.training.recipe import ModelSettings, Recipe
from pocketvision.training.settings import (
    EVERYTHING,
    OptimizerSettings,
    Phase,
    RegularisationSettings,
    ScheduleSettings,
)


@dataclass(frozen=True)
class Preset:
    """recipe: all of it. source: a sentence on where its numbers are from, and what was changed for small data."""

    recipe: Recipe
    source: str


_PAPER_CROPS = AugmentSettings(smallest_area=0.08, stretch=4 / 3, flip=0.5, rotation=0.0)
"""Random resized crops (Szegedy et al. 2015), with which ImageNet is learned."""

PRESETS: Mapping[str, Preset] = {
    "two_stage": Preset(
        Recipe(
            phases=(Phase(solver="gradient", epochs=15, lr=1e-3), Phase(unfreeze=3, epochs=20, lr=1e-4)),
            schedule=ScheduleSettings("plateau"),
        ),
        "PocketVision 0.1.0's default: heads, then the last three stages; docs/training.md measures it as `15 + 20, plateau`",
    ),
    "finetune": Preset(
        Recipe(phases=(Phase(), Phase(unfreeze=EVERYTHING, epochs=12, lr=3e-4))),
        "Heads first, then everything: Kumar et al. 2022, https://arxiv.org/abs/2202.10054; rate and length are those of "
        "`everything, lr 3e-4` in docs/training.md",
    ),
    "scratch_small_images": Preset(
        Recipe(
            batch=128,
            precision="measured",
            data=DataSettings(size=32, augmentation="none"),
            model=ModelSettings("mobilenet_v1_small", weights="none", dropout=0.1),
            phases=(Phase(epochs=28, lr=2e-3),),
            optimizer=OptimizerSettings("adamw", weight_decay=0.05),
            schedule=ScheduleSettings("one_cycle"),
            augment=AugmentSettings(flip=0.5, crop_padding=2),
        ),
        "Mirrors and crops with padding: He et al. 2016, section 4.2, https://arxiv.org/abs/1512.03385, 2 pixels where they take "
        "4, and little dropout: with more the plain CNN learned too little of Fashion-MNIST; one cycle: Smith & Topin 2018, "
        "https://arxiv.org/abs/1708.07120",
    ),
    "distill": Preset(
        Recipe(phases=(Phase(), Phase(unfreeze=3, lr=3e-4, steps=960))),
        "Beside `--teacher BUNDLE` ([teachers](teachers.md)); three times the usual steps, since a patient student learns more: "
        "Beyer et al. 2022, https://arxiv.org/abs/2106.05237",
    ),
    "simclr": Preset(
        Recipe(
            data=DataSettings(augmentation="none"),
            phases=(Phase(), Phase(unfreeze=EVERYTHING, epochs=60, lr=0.00625)),
            optimizer=OptimizerSettings("sgd", weight_decay=0.0, momentum=0.9),
            augment=AugmentSettings(smallest_area=0.08, stretch=4 / 3, flip=0.5),
        ),
        "What follows `pocketvision pretrain`, by `--weights RUN/backbone.safetensors`, on few labels: Chen et al. 2020, "
        "appendix B.5, https://arxiv.org/abs/2002.05709; its rate of 0.05 for 256 images a step is 0.00625 for 32",
    ),
    "efficientnet_paper": Preset(
        Recipe(
            batch=32,
            data=DataSettings(augmentation="none"),
            model=ModelSettings("efficientnet_b0", weights="none", dropout=0.2),
            phases=(Phase(epochs=350, lr=0.002, patience=350),),
            optimizer=OptimizerSettings("rmsprop", weight_decay=1e-5, momentum=0.9, squares=0.9, eps=1e-3),
            schedule=ScheduleSettings("exponential", warmup=5 / 350, factor=0.97, step_epochs=2.4),
            regularisation=RegularisationSettings(label_smoothing=0.1, ema=0.9999),
            augment=replace(_PAPER_CROPS, policy="auto_augment"),
        ),
        "Tan & Le 2019, section 5.2, https://arxiv.org/abs/1905.11946, and its code (smoothing, warm-up, average); its rate of "
        "0.256 for 4,096 images a step is 0.002 for 32. Stochastic depth of 0.2 is in the network's row",
    ),
    "mobilenet_paper": Preset(
        Recipe(
            batch=96,
            data=DataSettings(augmentation="none"),
            model=ModelSettings("mobilenet_v2", weights="none", dropout=0.2),
            phases=(Phase(epochs=300, lr=0.045, patience=300),),
            optimizer=OptimizerSettings("rmsprop", weight_decay=4e-5, momentum=0.9, squares=0.9, eps=1e-3),
            schedule=ScheduleSettings("exponential", factor=0.98, step_epochs=1.0),
            augment=replace(_PAPER_CROPS, brightness=0.125, saturation=0.5),
        ),
        "Sandler et al. 2018, section 6.1, https://arxiv.org/abs/1801.04381; it tells no number of epochs, 300 is ours",
    ),
}
"""By name. Those of papers are for a million images: `--set phases.1.epochs=30` is their shape at a length for fewer."""
