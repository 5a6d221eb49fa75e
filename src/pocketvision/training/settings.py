"""What the engine is told, phase by phase and for all of them: plain values, each spelt once (setting.py)."""

from dataclasses import dataclass
from itertools import pairwise

from pocketvision.errors import UsageError
from pocketvision.training.setting import setting

SOLVERS = ("auto", "gradient", "ridge")
OF_TIMM = ("lamb", "lars", "lion", "nadamw", "radam", "adabelief", "adafactor")
"""Optimizers that timm has, by its names."""
OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop", *OF_TIMM)
SCHEDULES = ("plateau", "cosine", "one_cycle", "step", "multistep", "exponential", "constant")


EVERYTHING = -1
"""In the place of a number of stages: all there are, and the stem."""


@dataclass(frozen=True)
class Phase:
    """A part of the training with its own cut. lr: None takes the optimizer's. No phase learns less than the one before it: what
    has learned is no longer what was cached."""

    solver: str = setting(
        "auto",
        "gradient, epoch by epoch; ridge: linear heads in closed form, their strength by leave-one-out, in one pass; auto: ridge "
        "where heads alone learn, all of them have a closed form and no epochs or rate are given",
        choices=SOLVERS,
    )
    unfreeze: int = setting(
        0,
        "How many of the last stages of the backbone learn: 0 heads alone, one more than there are the stem as well, as -1 says "
        "of any backbone",
        low=EVERYTHING,
        high=1000,
        alias=("", "unfreeze"),
    )
    model: str | None = setting(
        None,
        "An architecture that learns in this phase in the backbone's place, all of it from a random start; the validation images "
        "decide which of both is kept",
        unset="the backbone",
    )
    epochs: int | None = setting(
        None,
        "Epochs at most; 0 leaves the phase out",
        low=0,
        high=100_000,
        unset="as the number of pictures calls for",
        alias=("epochs1", "epochs2"),
    )
    steps: int = setting(
        320,
        "About how many steps a phase takes that is given no epochs: 4 to 30 epochs of them; up to 100 of heads alone that "
        "have no closed form, and a third of the steps after them",
        low=1,
        high=100_000_000,
    )
    lr: float | None = setting(None, "Learning rate", low=1e-9, high=10, unset="optimizer.lr", alias=("lr1", "lr2"))
    patience: int | None = setting(
        None,
        "Epochs without a lower validation loss until the phase ends",
        low=1,
        high=100_000,
        unset="7 of plateau, step, exponential and constant; the others run to their end",
        alias="patience",
    )
    min_improvement: float = setting(
        0.0,
        "How much lower a validation loss must be for patience to begin anew, as a share of the lowest",
        low=0,
        high=1,
        alias="min_improvement",
    )
    size: int | None = setting(
        None,
        "Input size in pixels that is learned at, of phases that learn from pictures; all validate at data.size",
        unit="px",
        low=28,
        high=2048,
        unset="data.size",
    )
    size_from: int | None = setting(
        None,
        "Progressive learning: the input size of the first epochs, which grows in four steps",
        unit="px",
        low=28,
        high=2048,
        unset="size",
    )
    strength_from: float = setting(
        1.0, "Progressive learning: the share of augmentation and dropout in the first epochs", low=0, high=1
    )
    replanned: tuple[float, ...] | None = setting(
        None,
        "Where --minutes changed the epochs on the way: after how many, and what they were until then, in pairs; the schedule's "
        "rest is fitted into what is left",
        low=0,
        high=100_000,
        unset="never",
    )

    def __post_init__(self) -> None:
        pairs = self.replanned or ()
        done = pairs[::2]
        if len(pairs) % 2 or any(later <= before for before, later in pairwise(done)):
            raise UsageError(
                f"phases.N.replanned is {','.join(f'{each:g}' for each in pairs)}; expected pairs of an epoch and the "
                "number of epochs until then, the epochs rising, such as 8,20."
            )

    @property
    def grows(self) -> bool:
        """Whether pictures or their augmentation differ from what is validated, from one epoch to another."""
        return (self.size, self.size_from, self.strength_from) != (None, None, 1.0)


DEVICES = ("auto", "cpu", "cuda", "mps")

LEAST_EPOCHS, MOST_EPOCHS = 4, 30
MOST_OF_HEADS = 100
"""Epochs of heads alone that have no closed form: on cached maps they cost little."""


@dataclass(frozen=True)
class StepSize:
    """Images a step, and the learning rate of phases that name none. longer: how many times the steps that a
    phase names heads alone on maps take."""

    batch: int
    lr: float
    longer: float = 1.0


STEP_SIZE = StepSize(32, 1e-3)

AUGMENTATION = "standard"
"""Of a training whose tasks ask for no other."""


def epochs_of(steps: int, an_epoch: int, most: int = MOST_EPOCHS) -> int:
    """How many epochs of `an_epoch` steps come to about `steps`: few passes over many pictures, many over few, within
    LEAST_EPOCHS and `most`. benchmarks/default_study.py: what training brings follows the steps."""
    return min(most, max(LEAST_EPOCHS, round(steps / an_epoch)))


@dataclass(frozen=True)
class OptimizerSettings:
    """How a step follows from gradients (optimizer.py). lr: of the phases that name none."""

    name: str = setting(
        "adamw", "How a step follows from gradients; lamb and those after it are timm's", choices=OPTIMIZERS
    )
    lr: float | None = setting(
        None,
        "Learning rate of the phases that name none",
        low=1e-9,
        high=10,
        unset="0.001; 0.002 of detection and segmentation",
    )
    weight_decay: float = setting(
        1e-4, "Weight decay; biases and norm scales have none", low=0, high=1, alias="weight_decay"
    )
    momentum: float = setting(0.9, "Momentum of sgd (Nesterov's), rmsprop and lars", low=0, high=0.9999)
    betas: tuple[float, ...] = setting(
        (0.9, 0.999), "Memory of the two averages of adam and its kin", low=0, high=0.99999
    )
    squares: float = setting(0.9, "Memory of rmsprop's average of squared gradients", low=0, high=0.99999)
    eps: float | None = setting(
        None, "Added where adam, adamw and rmsprop divide", low=1e-12, high=1, unset="1e-8; 1e-3 of rmsprop"
    )
    clip: float | None = setting(None, "Gradients are scaled down to this norm", low=1e-6, high=1e6, unset="off")
    adaptive_clip: float | None = setting(
        None,
        "Gradients of each unit of the backbone are scaled down to this share of the norm of its weights, such as 0.01 "
        "(needs timm)",
        low=1e-6,
        high=1e3,
        unset="off",
    )
    accumulate: int = setting(
        1,
        "Parts in which a batch goes through the network, gradients summed: the update of the whole batch with the memory of a "
        "part",
        low=1,
        high=65_536,
    )
    sam: float | None = setting(
        None,
        "Radius (rho) of sharpness-aware updates, such as 0.05: gradients are those of the worst weights within it; two passes "
        "a step",
        low=1e-6,
        high=10,
        unset="off",
    )
    layer_decay: float = setting(1.0, "A stage's rate as a share of the rate of the stage above it", low=0.01, high=1)

    def __post_init__(self) -> None:
        if len(self.betas) != 2:
            raise UsageError(f"optimizer.betas has {len(self.betas)} numbers; expected two, such as 0.9,0.999.")


@dataclass(frozen=True)
class ScheduleSettings:
    """How the rate changes within a phase (schedule.py)."""

    name: str = setting(
        "cosine",
        "plateau: a share of the rate when the validation loss stalls; cosine: down to zero over the phase; one_cycle: up and "
        "down to nearly zero; step: a share of the rate every so many epochs, exponential: the same, evenly with every step; "
        "multistep: a share of the rate at each milestone; constant",
        choices=SCHEDULES,
        alias="schedule",
    )
    warmup: float | None = setting(
        None, "The share of the phase's steps in which the rate rises", low=0, high=0.9, unset="0; 0.25 of one_cycle"
    )
    patience: int = setting(
        3,
        "Epochs without a lower validation loss until a plateau lowers the rate",
        low=0,
        high=100_000,
        alias="schedule_patience",
    )
    factor: float = setting(
        0.1, "The share of the rate that plateau, step, exponential and multistep leave", low=1e-6, high=1
    )
    step_epochs: float = setting(
        10.0, "Epochs between the falls of step, and in which exponential falls as far", low=0.01, high=100_000
    )
    milestones: tuple[float, ...] = setting(
        (0.5, 0.75), "Where the rate of multistep falls, as shares of the phase", low=0, high=1
    )

    def __post_init__(self) -> None:
        if [*self.milestones] != sorted(set(self.milestones)):
            raise UsageError("schedule.milestones do not rise; expected shares of the phase such as 0.5,0.75.")


@dataclass(frozen=True)
class RegularisationSettings:
    """What keeps a network from learning its pictures by heart."""

    label_smoothing: float = setting(
        0.0, "Share of the target that is spread over all classes", low=0, high=0.9, alias="label_smoothing"
    )
    mixup: float = setting(0.0, "MixUp's alpha: pairs of images are blended; 0 is off", low=0, high=10)
    cutmix: float = setting(
        0.0,
        "CutMix's alpha: a box of another image is pasted (maps alone, pooled features have none); 0 is off",
        low=0,
        high=10,
    )
    mosaic: float = setting(
        0.0,
        "Share of the batches whose images are mosaics of four, for objects and tags; of phases that learn from images",
        low=0,
        high=1,
    )
    ema: float | None = setting(
        None,
        "Memory of the moving average of the weights, which is validated and kept; 0 keeps the last step's",
        low=0,
        high=0.999999,
        unset="about half an epoch's steps",
    )

    @property
    def mixes(self) -> bool:
        """Whether rows of a batch are made of several pictures."""
        return self.mixup + self.cutmix + self.mosaic > 0


@dataclass(frozen=True)
class CheckpointSettings:
    """What a run keeps to go on from (checkpoint.py)."""

    seconds: float = setting(
        60.0,
        "How often a checkpoint is taken within an epoch; there is one after every epoch besides",
        unit="s",
        low=0,
        high=1e9,
        alias="checkpoint_every",
    )
    best: int = setting(
        0, "How many of a phase's best epochs keep a checkpoint of their own, beside the last", low=0, high=1000
    )


@dataclass(frozen=True)
class DistillationSettings:
    """Learning from other networks' answers too (distillation.py)."""

    teacher: str | None = setting(
        None,
        "Bundles, runs or names of pre-trained networks whose answers are learned too; several with commas",
        unset="none",
        alias="teacher",
    )
    unlabelled: str | None = setting(
        None,
        "A folder of further pictures, without labels, that are learned from by what the teachers say alone",
        unset="none",
        alias="unlabelled",
    )
    temperature: float = setting(
        2.0, "What softens the class scores and tags of teacher and student", low=0.1, high=100
    )
    alpha: float = setting(0.5, "The teacher's share of the loss; the truth's is the rest", low=0, high=1)
    views: int | None = setting(
        None,
        "Views of a picture that teachers answer where nothing of the student is cached; with a cache, cache.views",
        low=1,
        high=1000,
        unset="new ones in every epoch",
    )

    @property
    def teachers(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(each.strip() for each in (self.teacher or "").split(",") if each.strip())


@dataclass(frozen=True)
class PhaseSettings:
    """A phase as the engine runs it: its number (from 1), its own values, and those of all phases. views: of a picture, that a
    solver reads. scaled: losses are, for float16."""

    number: int
    epochs: int
    lr: float
    unfreeze: int = 0
    solver: str = "gradient"
    model: str | None = None
    views: int = 1
    batch: int = 32
    patience: int = 7
    min_improvement: float = 0.0
    replanned: tuple[float, ...] = ()
    size: int | None = None
    size_from: int | None = None
    strength_from: float = 1.0
    checkpointing: bool = False
    compiled: bool = False
    scaled: bool = False
    device: str = "cpu"
    channels_last: bool = True
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    regularisation: RegularisationSettings = RegularisationSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()


def require_mixable(settings: RegularisationSettings, batch: int) -> None:
    """Raise UsageError where there is nobody to mix with."""
    if (settings.mixup or settings.cutmix or settings.mosaic) and batch < 2:
        raise UsageError(
            f"MixUp, CutMix and mosaics mix the images of a batch, and a batch is {batch} here. Give a batch of 2 or more, or "
            "set regularisation.mixup, cutmix and mosaic to 0."
        )
