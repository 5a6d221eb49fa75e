"""The recipe: all settings of a training, nested by what they are of. What they mean and allow stands with each (setting.py)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pocketvision.errors import UsageError
from pocketvision.training.augment_settings import AugmentSettings
from pocketvision.training.data_settings import DataSettings
from pocketvision.training.setting import setting
from pocketvision.training.setting_values import require_allowed
from pocketvision.training.settings import (
    AUGMENTATION,
    DEVICES,
    EVERYTHING,
    MOST_OF_HEADS,
    STEP_SIZE,
    CheckpointSettings,
    DistillationSettings,
    OptimizerSettings,
    Phase,
    PhaseSettings,
    RegularisationSettings,
    ScheduleSettings,
    StepSize,
    epochs_of,
    require_mixable,
)

if TYPE_CHECKING:
    from pocketvision.models.spec import ModelSpec

FIXED_EPOCHS = (15, 20)
"""Of linear heads alone, that take little time, and from a random start, where the number of pictures says too little."""
AFTER_MAPS = 3
"""A phase of stages takes a third of its steps after heads on maps, which have learned nearly all by then: of blood cells AP50
was 0.87 to 0.88 on the validation pictures before ten epochs of the last stages, and in them."""
RUN_TO_THEIR_END = ("cosine", "one_cycle", "multistep")
PATIENCE = 7


@dataclass(frozen=True)
class ModelSettings:
    """The network that learns."""

    name: str = setting(
        "efficientnet_lite0", "An architecture of `pocketvision models`, or a file of one", alias="model"
    )
    weights: str = setting(
        "auto", "auto, a Hugging Face repository, a .safetensors or .pth file, or none (random start)", alias="weights"
    )
    weights_key: str | None = setting(
        None,
        "Which of several sets of weights in a checkpoint, such as state_dict_ema",
        unset="the plain ones",
        alias="weights_key",
    )
    head: str = setting(
        "auto",
        "auto: one of the last features, of several stages where a phase is solved by ridge; linear, multiscale_linear, "
        "grid_linear; of objects grid, grid_shared, grid_p2, grid_p6, grid_one_to_one, ssd_lite, "
        "ssd_lite_tensorflow, ssd, yolo_v1, efficientdet_d0 to efficientdet_d7, ssd300, retinanet, "
        "retinanet_v2, fcos, detr, detr_6; of masks u_net, u_net_transposed, fcn, "
        "lr_aspp, deeplab, deeplab_torchvision, deeplab_plus, u_net_small, u_net_paper",
        alias="head",
    )
    dropout: float = setting(0.3, "Dropout before the classifier", low=0, high=0.95, alias="dropout")
    drop_path: float | None = setting(
        None,
        "Stochastic depth: how likely the last block is left out in training from a random start, those before it less",
        low=0,
        high=0.95,
        unset="that of the network's rows",
    )

    checkpointing: bool = setting(
        False,
        "Keep the ends of stages alone, and compute what lies between again: less memory, about a third more time",
    )
    compile: bool = setting(
        False, "Compile what learns by torch.compile: minutes at the beginning, which long trainings may win back"
    )
    channels_last: bool = setting(
        True, "Keep what learns, and pictures, in memory channel by channel last, in which convolutions are faster"
    )

    @property
    def from_scratch(self) -> bool:
        """Whether the network starts at random: then everything learns, in every phase."""
        return self.weights == "none"

    def spec(self) -> "ModelSpec":
        """The architecture's rows. UsageError, with near matches, for a name that there is not."""
        from pocketvision.models.catalog import architecture

        return architecture(self.name)


@dataclass(frozen=True)
class LossSettings:
    """What is minimised."""

    class_weights: str | Mapping[str, float] = setting(
        "none",
        "none, balanced, by name: cat=2.0,dog=1 (a name with a comma in quotes), or a file of such pairs",
        choices=("none", "balanced"),
        alias="class_weights",
    )
    name: str | None = setting(
        None,
        "tags: binary, asymmetric or focal; number: huber or squared; detection: giou or diou; segmentation: "
        "cross_entropy_dice, cross_entropy, dice, focal, tversky or border; classification: cross_entropy, focal or binary",
        unset="the first of the kind",
    )
    regions: float | None = setting(
        None,
        "Of masks: the share of what is of whole regions (dice, tversky) in the sum with what is of pixels; both are "
        "taken twice, so that 0.5 is their plain sum",
        low=0,
        high=1,
        unset="0.5",
    )
    border: float | None = setting(
        None, "Of masks, with border: how much more a pixel beside a border costs", low=0, high=1000, unset="4"
    )
    weights: str | Mapping[str, float] = setting(
        "equal",
        "Of several tasks: equal, by task: detection=2,number=0.5, or what is found while they learn, uncertainty or grad_norm",
        choices=("equal", "uncertainty", "grad_norm"),
    )


@dataclass(frozen=True)
class DecisionSettings:
    """What decides on the bundle's answers; the validation images choose (tasks/thresholds.py)."""

    threshold: str | None = setting(
        None,
        "What thresholds are chosen for on the validation images: f1, precision=0.95, recall=0.9 or cost=5:1; of one class "
        "cat:recall=0.9; several with commas",
        unset="none",
        alias="threshold",
    )
    abstain_below: float | None = setting(
        None, "Answers with a score below this are unsure", low=0, high=1, unset="never", alias="abstain_below"
    )


@dataclass(frozen=True)
class CacheSettings:
    """The trunk cache: the frozen part runs once a view. views: the clean one and augmented ones; without the cache every epoch
    augments afresh."""

    enabled: bool = setting(True, "Run the frozen part once a view, or in every epoch", alias="cache")
    views: int = setting(4, "Cached views of every training image", low=1, high=1000, alias="views")
    limit: float = setting(
        20.0, "Size limit of the trunk cache", unit="GB", low=0.001, high=1_000_000, alias="cache_limit"
    )


DEFAULT_PHASES = (Phase(), Phase(unfreeze=3, lr=3e-4))
"""Heads in closed form; then the last stages."""


@dataclass(frozen=True)
class Recipe:
    """All settings of a training. Raises UsageError for values out of their ranges, and for settings that contradict each other.

    precision is what the unfrozen layers are trained in.
    """

    batch: int | None = setting(
        None, "Images a step", low=1, high=65_536, unset="32; 16 of detection; 8 of segmentation", alias="batch"
    )
    seed: int = setting(0, "The same seed gives the same model", low=0, high=2**31 - 1, alias="seed")
    precision: str = setting(
        "auto",
        "Number format of what learns of the backbone; auto is what this CPU is faster in, measured times the network in each",
        choices=("auto", "measured", "float32", "bfloat16", "onednn_bfloat16", "float16"),
        alias="precision",
    )
    device: str = setting(
        "cpu",
        "Where steps are computed; auto is the GPU that PyTorch finds, else the CPU. We have never run it on a GPU",
        choices=DEVICES,
        alias="device",
    )
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    phases: tuple[Phase, ...] = DEFAULT_PHASES
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    regularisation: RegularisationSettings = field(default_factory=RegularisationSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    distillation: DistillationSettings = field(default_factory=DistillationSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    decision: DecisionSettings = field(default_factory=DecisionSettings)
    checkpoints: CheckpointSettings = field(default_factory=CheckpointSettings)

    def __post_init__(self) -> None:
        require_allowed(self)
        if self.batch is not None:
            require_mixable(self.regularisation, self.batch)
        if all(phase.epochs == 0 for phase in self.phases):
            raise UsageError("No phase has an epoch: there is nothing to train. Give phases.1.epochs, for example.")
        if self.data.val_share + self.data.test_share >= 0.9:
            raise UsageError(
                f"data.val_share {self.data.val_share} and data.test_share {self.data.test_share} leave less than a tenth to "
                "train on."
            )
        self._require_agreeing()
        for number, phase in enumerate(self.phases, start=1):
            if phase.solver == "ridge" and (phase.unfreeze or phase.model or self.model.from_scratch):
                own = f"unfreeze {phase.unfreeze}" if phase.unfreeze else f"model {phase.model}"
                what = own if phase.unfreeze or phase.model else "model.weights none"
                raise UsageError(
                    f"phases.{number}.solver is ridge, which solves heads on a frozen, pre-trained backbone, beside {what}. "
                    "Expected unfreeze 0 and weights, or the solver gradient."
                )

    def _require_agreeing(self) -> None:
        """Raise UsageError for settings that contradict each other, which names both and how to mend it."""
        batch, augment = self.batch, self.augment
        contradictions = (
            (
                self.data.sampler == "balanced" and self.data.balance_to is not None,
                "data.sampler balanced and data.balance_to both show rare classes more often. Leave one of them out.",
            ),
            (
                self.data.sampler == "balanced" and self.loss.class_weights == "balanced",
                "data.sampler balanced and loss.class_weights balanced both make up for rare classes, which then count twice. "
                "Leave one of them out.",
            ),
            (
                batch is not None and self.optimizer.accumulate > batch,
                f"optimizer.accumulate {self.optimizer.accumulate} parts are more than the batch's {batch} images. Give at most "
                "half as many parts as images.",
            ),
            (
                self.optimizer.accumulate > 1 and self.loss.weights == "grad_norm",
                "loss.weights grad_norm looks at gradients of the shared layers, which a batch in parts "
                "(optimizer.accumulate) has only at its end. Take loss.weights uncertainty, or optimizer.accumulate 1.",
            ),
            (
                augment.policy in ("auto_augment", "trivial_augment")
                and augment.magnitude != AugmentSettings.magnitude,
                f"augment.magnitude is of rand_augment and aug_mix; {augment.policy} draws its own. Leave it out.",
            ),
            (
                self.model.drop_path is not None and not self.model.from_scratch,
                "model.drop_path is of a random start (model.weights none): a pre-trained backbone learns as it will answer. "
                "Leave it out.",
            ),
            (
                bool(self.distillation.teachers) and any(phase.grows for phase in self.phases),
                "A teacher's answers are kept by the view, of one size and strength, and a phase that grows (phases.N.size, "
                "size_from, strength_from) shows others. Leave one of them out.",
            ),
            (
                self.distillation.unlabelled is not None and self.regularisation.mixes,
                "MixUp, CutMix and mosaics need the truth of every picture, and --unlabelled ones have none. Leave either out.",
            ),
            (
                self.optimizer.name == "sgd" and self.optimizer.eps is not None,
                "optimizer.eps is where adam, adamw and rmsprop divide; sgd divides by nothing. Leave it out.",
            ),
        )
        for found, text in contradictions:
            if found:
                raise UsageError(text)

    def resolved(
        self, pictures: int, *, closed_form: bool, step_size: StepSize = STEP_SIZE, augmentation: str = AUGMENTATION
    ) -> "Recipe":
        """With values in the place of what the data decides: batch, rate, augmentation, and the phases' solvers, epochs and
        patience.

        pictures: that are learned from. closed_form: whether all heads have one. step_size, augmentation: where a recipe gives
        none.
        """
        batch = step_size.batch if self.batch is None else self.batch
        lr = step_size.lr if self.optimizer.lr is None else self.optimizer.lr
        steps = math.ceil(pictures / batch)
        phases = tuple(self._resolved(phase, steps, closed_form, step_size.longer) for phase in self.phases)
        own = self.data.augmentation
        data = replace(self.data, augmentation=augmentation if own == "auto" else own)
        return replace(self, batch=batch, data=data, phases=phases, optimizer=replace(self.optimizer, lr=lr))

    def _resolved(self, phase: Phase, steps: int, closed_form: bool, longer: float) -> Phase:
        """steps: of an epoch."""
        solver, epochs, patience = phase.solver, phase.epochs, phase.patience
        if solver == "auto":
            solved = closed_form and not (phase.unfreeze or phase.model or self.model.from_scratch)
            solver = "ridge" if solved and epochs is None and phase.lr is None else "gradient"
        if epochs is None:
            epochs = 1 if solver == "ridge" else self._epochs(phase, steps, closed_form, longer)
        if patience is None:
            patience = epochs if self.schedule.name in RUN_TO_THEIR_END else PATIENCE
        return replace(phase, solver=solver, epochs=epochs, patience=max(patience, 1))

    def _epochs(self, phase: Phase, steps: int, closed_form: bool, longer: float) -> int:
        """Of a phase of gradients that was given none."""
        linear, scratch = FIXED_EPOCHS
        if phase.model is not None:
            return epochs_of(phase.steps, steps, MOST_OF_HEADS)
        if self.model.from_scratch:
            return scratch
        if phase.unfreeze:
            return epochs_of(phase.steps if closed_form else phase.steps // AFTER_MAPS, steps)
        return linear if closed_form else epochs_of(round(phase.steps * longer), steps, MOST_OF_HEADS)

    @property
    def step_size(self) -> StepSize:
        """Raises ValueError for a recipe that is not resolved."""
        if self.batch is None or self.optimizer.lr is None:
            raise ValueError("the recipe is not resolved")
        return StepSize(self.batch, self.optimizer.lr)

    def phase_settings(self) -> list[PhaseSettings]:
        """What the engine is told of the phases that have epochs. ValueError for a recipe that is not resolved."""
        found = []
        step_size = self.step_size
        for number, phase in enumerate(self.phases, start=1):
            if phase.epochs is None or phase.patience is None:
                raise ValueError(f"phases.{number} is not resolved")
            if phase.epochs:
                settings = PhaseSettings(
                    number,
                    epochs=1 if phase.solver == "ridge" else phase.epochs,
                    lr=step_size.lr if phase.lr is None else phase.lr,
                    unfreeze=phase.unfreeze,
                    solver=phase.solver,
                    model=phase.model,
                    views=self.cache.views,
                    batch=step_size.batch,
                    patience=phase.patience,
                    min_improvement=phase.min_improvement,
                    replanned=phase.replanned or (),
                    size=phase.size,
                    size_from=phase.size_from,
                    strength_from=phase.strength_from,
                    checkpointing=self.model.checkpointing,
                    compiled=self.model.compile,
                    scaled=self.precision == "float16",
                    device=self.device,
                    channels_last=self.model.channels_last,
                    optimizer=self.optimizer,
                    schedule=self.schedule,
                    regularisation=self.regularisation,
                    checkpoints=self.checkpoints,
                )
                found.append(settings)
        return found

    def with_depths(self) -> "Recipe":
        """With the number of stages where a phase is to learn everything. UsageError for a model that there is not."""
        if all(phase.unfreeze != EVERYTHING for phase in self.phases):
            return self
        every = len(self.model.spec().stage_lines()) + 1
        return replace(
            self,
            phases=tuple(
                replace(phase, unfreeze=every) if phase.unfreeze == EVERYTHING else phase for phase in self.phases
            ),
        )

    def require_model(self) -> None:
        """Raise UsageError where the architecture is not there, has no such size, or has too few stages."""
        spec = self.model.spec()
        if self.data.size is not None:
            spec.check_size(self.data.size, self.data.size)
        stages = len(spec.stage_lines())
        for number, phase in enumerate(self.phases, start=1):
            if phase.unfreeze > stages + 1:
                raise UsageError(
                    f"phases.{number}.unfreeze is {phase.unfreeze}: {self.model.name} has {stages} stages; expected 0 to "
                    f"{stages}, or {stages + 1} for the stem as well."
                )


EFFORTS: Mapping[str, Recipe] = {
    "quick": Recipe(phases=DEFAULT_PHASES[:1], cache=CacheSettings(views=1)),
    "default": Recipe(),
    "best": Recipe(phases=(Phase(), Phase(unfreeze=5, lr=3e-4, steps=1600))),
}
"""quick: heads in closed form alone, on one view: on clothing four came to 90.9 % in four times the time, one to 90.6 %
(benchmarks/solved_head_study.py). best: more stages learn, for longer."""
