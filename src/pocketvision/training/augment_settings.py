"""How strongly views of a picture differ, setting by setting: what is left unset is as the row of `data.augmentation` has it."""

from dataclasses import dataclass

from pocketvision.training.setting import setting

_ROW = "as data.augmentation has it"


@dataclass(frozen=True)
class AugmentSettings:
    """The names are those of data.augment.Augmentation. Every view draws anew, up to what is given."""

    smallest_area: float | None = setting(
        None, "Random resized crop: the smallest share of the area that is kept", low=0.02, high=1, unset=_ROW
    )
    stretch: float | None = setting(
        None, "Its largest factor between its shape and the input's", low=1, high=4, unset=_ROW
    )
    flip: float | None = setting(None, "Share of the views that are mirrored left and right", low=0, high=1, unset=_ROW)
    flip_down: float = setting(0.0, "Share of the views that are mirrored up and down", low=0, high=1)
    rotation: float | None = setting(
        None,
        "Largest turn either way, not of objects; with smallest_area shift, scale and rotate",
        unit="°",
        low=0,
        high=45,
        unset=_ROW,
    )
    crop_padding: int = setting(
        0,
        "Random crop of the padded picture: by how much a view is shifted either way, 4 of small pictures",
        unit="px",
        low=0,
        high=512,
    )
    brightness: float | None = setting(
        None, "Largest change, 0.2 is a factor from 0.8 to 1.2", low=0, high=1, unset=_ROW
    )
    contrast: float | None = setting(None, "Largest change", low=0, high=1, unset=_ROW)
    saturation: float | None = setting(None, "Largest change", low=0, high=1, unset=_ROW)
    hue: float = setting(0.0, "Largest change, as a share of the colour circle", low=0, high=0.5)
    gamma: float = setting(1.0, "Largest gamma, 1.5 draws from 0.67 to 1.5", low=1, high=5)
    greyscale: float = setting(0.0, "Share of the views that are grey", low=0, high=1)
    clahe: float = setting(
        0.0, "Share of the views whose contrast is equalised in tiles (CLAHE, limit 2 to 4)", low=0, high=1
    )
    blur: float = setting(0.0, "Gaussian blur: the largest standard deviation", unit="px", low=0, high=32)
    motion_blur: float = setting(0.0, "Motion blur: the longest line", unit="px", low=0, high=64)
    noise: float = setting(0.0, "Gaussian noise: the largest standard deviation, of 1", low=0, high=1)
    erasing: float = setting(0.0, "Random erasing: share of the views with a box of noise", low=0, high=1)
    erased_area: float = setting(0.33, "Its largest share of the area", low=0.02, high=1)
    policy: str = setting(
        "none",
        "What is drawn from a table of operations: trivial_augment and auto_augment need no numbers; of boxes nothing is turned "
        "or sheared, and where truth has a place aug_mix moves nothing",
        choices=("none", "rand_augment", "auto_augment", "trivial_augment", "aug_mix"),
    )
    operations: int = setting(2, "Operations of rand_augment, its n", low=1, high=14)
    magnitude: float = setting(9.0, "How strong those of rand_augment are, its m; the most of aug_mix", low=0, high=30)
