"""What a recipe says about pictures: which are learned from, and how they are looked at."""

from dataclasses import dataclass

from pocketvision.training.setting import setting

_LARGEST = 1e15


@dataclass(frozen=True)
class DataSettings:
    """Which pictures are learned from, and how they are looked at. Shares are of the pictures.

    interpolation, of training and of the bundle, whatever the weights were pre-trained with: bilinear takes half of bicubic's
    time. At 128 pixels out of 256 it came to 70.5, 70.0 % on 2,379 test pictures, bicubic to 70.3, 69.7 % (seeds 0, 1).
    """

    val_share: float = setting(
        0.2, "Share for validation when no split is given", low=0.01, high=0.8, alias="val_share"
    )
    test_share: float = setting(0.0, "Share for an untouched test split", low=0, high=0.8, alias="test_share")
    group: str = setting(
        "auto",
        "What a split may not part: auto (the column group, or likely groups where the evidence is strong), none, a table's "
        "column, or a pattern whose first parentheses find the group in a path: (person\\d+)",
        alias=("group", "group_column"),
    )
    min_per_class: int = setting(
        1,
        "Leave out classes with fewer images (duplicates and groups count once in training)",
        low=1,
        alias="min_per_class",
    )
    balance_to: int | None = setting(
        None,
        "Augment smaller classes of the training split up to N images",
        low=1,
        high=10_000_000,
        unset="off",
        alias="balance_to",
    )
    sampler: str = setting(
        "natural",
        "Which pictures an epoch takes: natural, each once; balanced, as many drawn, so that classes, tags, parts of the numbers "
        "and what boxes and masks hold come equally often",
        choices=("natural", "balanced"),
    )
    task_shares: str = setting(
        "balanced",
        "Of several tasks, how often pictures of a rarer one come in an epoch: natural (once), equal (until all tasks have as "
        "many) or balanced (halfway, by the root)",
        choices=("natural", "balanced", "equal"),
    )
    augmentation: str = setting(
        "auto",
        "How strongly views of an image differ; auto is standard, of segmentation light",
        choices=("auto", "none", "light", "standard", "strong"),
        alias="augmentation",
    )
    size: int | None = setting(
        None, "Input size in pixels", unit="px", low=28, high=2048, unset="that of the weights", alias="size"
    )
    tile: int | None = setting(
        None,
        "Of masks: pixels of a picture that are looked at at once, each way, in overlapping tiles; 0: all of it",
        unit="px",
        low=0,
        high=8192,
        unset="all of it, or 512 where masks would be lost in small",
        alias="tile",
    )
    ignore: int | None = setting(
        None,
        "Of masks: the value of pixels that are of no class, beside 255 and what classes.txt calls void",
        low=0,
        high=65535,
        unset="none",
        alias="ignore",
    )
    interpolation: str = setting(
        "bilinear",
        "How images are resized, in training and in the bundle",
        choices=("bilinear", "bicubic"),
        alias="interpolation",
    )
    max_pixels: int = setting(
        50_000_000,
        "Images of more pixels are refused before they are decoded",
        unit="px",
        low=1,
        high=_LARGEST,
        alias="max_pixels",
    )
    white_level: int | None = setting(
        None,
        "The value of 16-bit images that is white",
        choices=(255, 1023, 4095, 16383, 65535),
        unset="found out",
        alias="white_level",
    )
    workers: int = setting(2, "Threads that read images", low=0, high=256, alias="workers")
