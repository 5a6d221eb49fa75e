"""Effects of views: what they do to pixels, where they move them, and what policies draw."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from pocketvision.data.augment import AUGMENTATIONS, View, draw_view
from pocketvision.data.effects import BENDS, COLOURS, MOVES, Effect, applied_effects, matrix_of
from pocketvision.data.policies import AUTO, POLICIES, RAND, WIDE, Draws
from pocketvision.preprocessing import Fit, Preprocessing

FILL = (9, 8, 7)
NONE = AUGMENTATIONS["none"]


def photo(width: int = 48, height: int = 40) -> Image.Image:
    small = np.random.default_rng(0).integers(60, 180, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


VALUES = {
    "shear": (0.2, 0.0),
    "turn": (20.0,),
    "move": (0.1, -0.2),
    "shift": (3.0, -4.0),
    "slide": (3.0, -4.0),
    "mirror_down": (),
    "brightness": (1.4,),
    "contrast": (0.6,),
    "saturation": (1.7,),
    "hue": (0.2,),
    "gamma": (1.5,),
    "sharpness": (1.8,),
    "posterize": (2.0,),
    "solarize": (100.0,),
    "autocontrast": (),
    "equalize": (),
    "invert": (),
    "greyscale": (),
    "clahe": (3.0,),
    "blur": (2.0,),
    "motion_blur": (7.0, 30.0),
    "noise": (0.1, 5.0),
    "erase": (0.2, 0.3, 0.6, 0.7, 5.0),
}


def test_every_effect_changes_the_picture_and_repeats() -> None:
    assert {*VALUES} == {*MOVES, *COLOURS}
    image = photo()
    for name, values in VALUES.items():
        found, again = (np.asarray(applied_effects(image, (Effect(name, values),), FILL)) for _ in range(2))
        assert found.shape == (40, 48, 3) and found.dtype == np.uint8
        assert np.array_equal(found, again) and not np.array_equal(found, np.asarray(image)), name


@pytest.mark.parametrize("name", sorted(MOVES))
def test_a_spot_goes_where_the_matrix_says(name: str) -> None:
    down, across = np.mgrid[0:80, 0:100] + 0.5
    bell = 255 * np.exp(-((across - 45) ** 2 + (down - 44) ** 2) / (2 * 4**2))
    image = Image.fromarray(np.stack([bell] * 3, axis=2).round().astype(np.uint8))
    effects = (Effect(name, VALUES[name]), Effect("shift", (5.0, 2.0)))
    moved = np.asarray(applied_effects(image, effects, (0, 0, 0)))[..., 0].astype(float)
    expected = matrix_of(effects, image.size) @ [45, 44, 1]
    middle = [(moved * across).sum() / moved.sum(), (moved * down).sum() / moved.sum()]
    assert middle == pytest.approx(expected[:2].tolist(), abs=0.1)
    assert (expected[:2] != (45, 44)).any()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("name", ["shear", "turn", "move", "slide"])
def test_a_view_moves_the_picture_itself(name: str, fit: Fit) -> None:
    """No fill where the picture reaches: white stays white in its place, and beyond it is the fill."""
    preprocessing = Preprocessing(32, 32, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), fit=fit)
    white = Image.new("RGB", (90, 60), (255, 255, 255))
    values = (9.0, -6.0) if name == "slide" else VALUES[name]
    view = View(area=0.4, across=0.0, down=0.5, effects=(Effect(name, values), Effect("mirror_down")))
    pixels = np.asarray(view.crop(white, preprocessing))
    down, across = np.mgrid[0:32, 0:32] + 0.5
    places = np.linalg.inv(view.matrix(white.size, preprocessing)) @ np.stack([across, down, down * 0 + 1]).reshape(
        3, -1
    )
    inside = np.minimum(np.minimum(places[0], 90 - places[0]), np.minimum(places[1], 60 - places[1])).reshape(32, 32)
    step = 90 / 32
    assert (pixels[inside > step] == 255).all() and (pixels[inside < -step] == preprocessing.fill).all()
    assert (inside > step).any() and (fit != "stretch" or (inside < -step).any())


def test_what_is_moved_in_is_the_fill_and_a_shift_is_of_whole_pixels() -> None:
    image = photo()
    shifted = np.asarray(applied_effects(image, (Effect("shift", (3.0, -4.0)),), FILL))
    assert np.array_equal(shifted[:-4, 3:], np.asarray(image)[4:, :-3])
    assert (shifted[:, :3] == FILL).all() and (shifted[-4:] == FILL).all()


def test_each_colour_effect_by_a_figure() -> None:
    image, pixels = photo(), np.asarray(photo()).astype(float)

    def after(name: str, *values: float) -> np.ndarray:
        return np.asarray(applied_effects(image, (Effect(name, values),), FILL)).astype(float)

    assert np.ptp(after("greyscale"), axis=2).max() == 0
    assert (after("noise", 0.1, 5.0) - pixels).std() == pytest.approx(25.5, rel=0.05)
    bent = [np.abs(np.diff(each, n=2, axis=1)).mean() for each in (after("blur", 1.0), after("noise", 0.1, 5.0))]
    assert bent[0] < np.abs(np.diff(pixels, n=2, axis=1)).mean() < bent[1]
    assert np.abs(after("gamma", 2.0) - 255 * (pixels / 255) ** 2).max() <= 1.01
    erased = (after("erase", 0.25, 0.5, 0.5, 0.75, 5.0) != pixels).any(axis=2)
    assert erased[20:30, 12:24].mean() > 0.95 and not erased[:20].any() and not erased[:, 24:].any()
    spot = np.zeros((21, 21, 3), np.uint8)
    spot[10, 10] = 250
    line = np.asarray(applied_effects(Image.fromarray(spot), (Effect("motion_blur", (5.0, 0.0)),), FILL))[..., 0]
    assert line[10].tolist() == [0] * 8 + [50] * 5 + [0] * 8 and line.sum() == 250


def test_equalising_in_tiles_spreads_greys_within_its_limit() -> None:
    ramp = np.tile(np.linspace(100, 120, 256).astype(np.uint8)[:, None, None], (1, 256, 3))
    spread = [np.ptp(np.asarray(COLOURS["clahe"](Image.fromarray(ramp), limit))[..., 0]) for limit in (1.0, 2.0, 4.0)]
    assert spread[0] <= 24 < spread[1] < spread[2] and spread[2] > 1.4 * 20
    tiny = np.asarray(COLOURS["clahe"](Image.fromarray(ramp[:3, :5]), 2.0))
    assert tiny.shape == (3, 5, 3)


def test_the_pairs_of_auto_augment_are_the_papers() -> None:
    """As torchvision has them."""
    names = {"turn": "Rotate", "saturation": "Color", "shear_x": "ShearX", "autocontrast": "AutoContrast"}
    plain = {"autocontrast", "equalize", "invert"}
    own = tuple(
        tuple(
            (names.get(name, name.title()), share, None if name in plain else strength)
            for name, share, strength in pair
        )
        for pair in AUTO
    )
    assert own == tuple(AutoAugment(AutoAugmentPolicy.IMAGENET).policies)


def test_policies_draw_as_many_as_they_say_and_of_every_operation() -> None:
    drawn = [POLICIES["rand_augment"](Draws(str(n)), 3, 9.0, "all") for n in range(400)]
    assert max(map(len, drawn)) == 3 and np.mean([len(each) for each in drawn]) == pytest.approx(3 * 13 / 14, rel=0.05)
    counts = Counter(effect.name for each in drawn for effect in each)
    assert {*counts} == {effect.name for made in RAND.values() for effect in [made(0.5, Draws("a"))]}
    turned = [abs(effect.values[0]) for each in drawn for effect in each if effect.name == "turn"]
    assert {*turned} == {9.0}
    wide = [POLICIES["trivial_augment"](Draws(str(n)), 1, 0.0, "all") for n in range(600)]
    assert max(map(len, wide)) == 1 and len(WIDE) == 13
    assert 100 < max(abs(effect.values[0]) for each in wide for effect in each if effect.name == "turn") <= 135


def test_where_truth_has_a_place_policies_move_by_a_matrix_alone() -> None:
    for name, policy in POLICIES.items():
        drawn = [effect for n in range(200) for effect in policy(Draws(str(n)), 2, 9.0, "straight")]
        chained = [step for effect in drawn for chain in effect.chains for step in chain]
        assert drawn and not {each.name for each in (*drawn, *chained)} & {*BENDS}
        assert not {each.name for each in chained} & {*MOVES}, name
    placed = [effect for n in range(200) for effect in POLICIES["aug_mix"](Draws(str(n)), 2, 9.0, "placed")]
    assert not {step.name for effect in placed for chain in effect.chains for step in chain} & {*MOVES}
    free = [effect for n in range(200) for effect in POLICIES["aug_mix"](Draws(str(n)), 2, 9.0, "all")]
    assert {step.name for effect in free for chain in effect.chains for step in chain} & {*BENDS}
    assert all(sum(effect.values) == pytest.approx(1, abs=1e-5) for effect in free)


def test_aug_mix_is_the_mean_of_its_chains() -> None:
    image = photo()
    chain = (Effect("invert"),)
    found = np.asarray(applied_effects(image, (Effect("mix", (0.25, 0.75), (chain,)),), FILL)).astype(float)
    pixels = np.asarray(image).astype(float)
    assert np.abs(found - (0.25 * pixels + 0.75 * (255 - pixels))).max() <= 0.5


def test_views_draw_effects_in_their_ranges_and_no_setting_moves_anothers_draw() -> None:
    ranges = replace(NONE, crop_padding=4, noise=0.2, blur=1.5, erasing=0.5, erased_area=0.2, hue=0.1, flip_down=0.25)
    drawn = [draw_view(1, n, augmentation=ranges) for n in range(400)]
    by_name = {name: [e.values for v in drawn for e in v.effects if e.name == name] for name in VALUES}
    shifts = np.array(by_name["shift"])
    assert {*shifts.flatten().tolist()} == {*map(float, range(-4, 5))}
    assert 0.15 < max(each[0] for each in by_name["noise"]) <= 0.2
    assert 1.3 < max(each[0] for each in by_name["blur"]) <= 1.5
    assert 0.4 < len(by_name["erase"]) / 400 < 0.6 and 0.2 < len(by_name["mirror_down"]) / 400 < 0.3
    areas = [(right - left) * (bottom - top) for left, top, right, bottom, _ in by_name["erase"]]
    assert min(areas) >= 0.019 and max(areas) <= 0.2001
    without = [draw_view(1, n, augmentation=replace(ranges, noise=0.0, crop_padding=0)) for n in range(50)]
    for one, other in zip(drawn[:50], without, strict=True):
        kept = tuple(each for each in one.effects if each.name not in ("noise", "shift"))
        assert kept == other.effects
    assert draw_view(1, 7, augmentation=NONE) == View() and View().key == repr(View()).encode()


def test_a_recorded_view_is_the_same_on_every_machine() -> None:
    ranges = replace(NONE, policy="rand_augment", noise=0.1, erasing=1.0)
    assert draw_view(3, 5, augmentation=ranges).effects == RECORDED


RECORDED = (
    Effect("shear", (0.09, 0.0)),
    Effect("brightness", (0.73,)),
    Effect("noise", (0.048257, 306117373.0)),
    Effect("erase", (0.409417, 0.503194, 0.820257, 0.686302, 709271202.0)),
)


def test_strength_is_scaled_from_none_to_all() -> None:
    strong = replace(AUGMENTATIONS["strong"], magnitude=10.0, gamma=2.0)
    assert strong.at(1.0) == replace(strong, smallest_area=strong.at(1.0).smallest_area)
    half, none = strong.at(0.5), strong.at(0.0)
    assert (half.magnitude, half.rotation, half.smallest_area) == (5.0, 7.5, pytest.approx(0.65))
    assert (none.brightness, none.gamma, none.smallest_area, none.flip) == (0.0, 1.0, 1.0, 0.5)
