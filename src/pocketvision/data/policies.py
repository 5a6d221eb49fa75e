"""Policies: which effects a view takes, drawn from a table of operations. The tables are those of the papers, with torchvision's
ranges; what is drawn is recorded (effects.py)."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from pocketvision.data.effects import BENDS, MOVES, Effect

_BINS = 31
_SIDES = 150 / 331
"""The largest move as a share of the side, as in AutoAugment's code."""


class Draws:
    """Numbers in [0, 1) from a hash of `text`: the same on every machine, and as many as are asked for."""

    def __init__(self, text: str) -> None:
        self._numbers = self._all(text)

    def share(self) -> float:
        return next(self._numbers)

    def below(self, count: int) -> int:
        return int(self.share() * count)

    def sign(self) -> float:
        return 1.0 if self.share() < 0.5 else -1.0

    def normal(self) -> float:
        """Box & Muller (1958)."""
        return math.sqrt(-2 * math.log(1 - self.share())) * math.cos(2 * math.pi * self.share())

    def gamma(self, alpha: float) -> float:
        """Of a gamma distribution, alpha at least 1 (Marsaglia & Tsang 2000)."""
        d = alpha - 1 / 3
        while True:
            x = self.normal()
            v = (1 + x / math.sqrt(9 * d)) ** 3
            if v > 0 and math.log(1 - self.share()) < 0.5 * x * x + d - d * v + d * math.log(v):
                return d * v

    @staticmethod
    def _all(text: str) -> Iterator[float]:
        block = 0
        while True:
            digest = hashlib.blake2b(f"{text};{block}".encode("utf-8", "strict")).digest()
            yield from (int.from_bytes(digest[at : at + 4], "little") / 2**32 for at in range(0, 64, 4))
            block += 1


Operation = Callable[[float, Draws], Effect]
"""From how strong it is, in [0, 1], to a step."""


def _either_way(name: str, most: float, place: int = 0, of: int = 1) -> Operation:
    def made(strength: float, draws: Draws) -> Effect:
        values = [0.0] * of
        values[place] = _digits(most * strength * draws.sign())
        return Effect(name, tuple(values))

    return made


def _factor(name: str, most: float) -> Operation:
    return lambda strength, draws: Effect(name, (_digits(1 + most * strength * draws.sign()),))


def _bits(fewest: int, most: int = 8) -> Operation:
    return lambda strength, _: Effect("posterize", (float(most - round(strength * (most - fewest))),))


def _plain(name: str) -> Operation:
    return lambda _, __: Effect(name)


def _operations(shear: float, move: float, turn: float, factor: float, bits: int) -> dict[str, Operation]:
    """The fourteen of RandAugment without the identity, at the strengths given."""
    return {
        "shear_x": _either_way("shear", shear, 0, 2),
        "shear_y": _either_way("shear", shear, 1, 2),
        "move_x": _either_way("move", move, 0, 2),
        "move_y": _either_way("move", move, 1, 2),
        "turn": _either_way("turn", turn),
        "brightness": _factor("brightness", factor),
        "saturation": _factor("saturation", factor),
        "contrast": _factor("contrast", factor),
        "sharpness": _factor("sharpness", factor),
        "posterize": _bits(bits),
        "solarize": lambda strength, _: Effect("solarize", (_digits(255 * (1 - strength)),)),
        "autocontrast": _plain("autocontrast"),
        "equalize": _plain("equalize"),
    }


RAND = _operations(0.3, _SIDES, 30, 0.9, 4)
WIDE = _operations(0.99, 32 / 224, 135, 0.99, 2)
_MIX_POSTERIZE = _bits(0, 4)
MIX: Mapping[str, Operation] = {
    **{name: each for name, each in _operations(0.3, 1 / 3, 30, 0.9, 4).items() if name != "sharpness"},
    "posterize": lambda strength, draws: Effect("posterize", (max(1.0, _MIX_POSTERIZE(strength, draws).values[0]),)),
}

AUTO: tuple[tuple[tuple[str, float, int], tuple[str, float, int]], ...] = (
    (("posterize", 0.4, 8), ("turn", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 0), ("turn", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 0)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 0)),
    (("turn", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 0), ("posterize", 0.4, 6)),
    (("turn", 0.8, 8), ("saturation", 0.4, 0)),
    (("turn", 0.4, 9), ("equalize", 0.6, 0)),
    (("equalize", 0.0, 0), ("equalize", 0.8, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("saturation", 0.6, 4), ("contrast", 1.0, 8)),
    (("turn", 0.8, 8), ("saturation", 1.0, 2)),
    (("saturation", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 0)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 0)),
    (("saturation", 0.4, 0), ("equalize", 0.6, 0)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("saturation", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
)
"""Pairs of operation, probability and strength of 9: what was found on ImageNet (Cubuk et al. 2019, table 9)."""


def rand_augment(draws: Draws, count: int, magnitude: float, moves: "Moves") -> tuple[Effect, ...]:
    """`count` operations, of a magnitude of 30 (Cubuk et al. 2020, https://arxiv.org/abs/1909.13719)."""
    names = [*_allowed(RAND, moves), ""]  # the identity is one of them
    chosen = [names[draws.below(len(names))] for _ in range(count)]
    return tuple(RAND[name](magnitude / (_BINS - 1), draws) for name in chosen if name)


def trivial_augment(draws: Draws, count: int, magnitude: float, moves: "Moves") -> tuple[Effect, ...]:
    """One operation of any strength (Müller & Hutter 2021, https://arxiv.org/abs/2103.10158), the wide space."""
    del count, magnitude
    names = [*_allowed(WIDE, moves), ""]
    name = names[draws.below(len(names))]
    return (WIDE[name](draws.below(_BINS) / (_BINS - 1), draws),) if name else ()


def auto_augment(draws: Draws, count: int, magnitude: float, moves: "Moves") -> tuple[Effect, ...]:
    """One pair of AUTO (Cubuk et al. 2019, https://arxiv.org/abs/1805.09501)."""
    del count, magnitude
    pair = AUTO[draws.below(len(AUTO))]
    known = {**RAND, "invert": _plain("invert")}
    allowed = {*_allowed(known, moves)}
    found = [
        (draws.share() < probability, known[name](strength / 9, draws), name) for name, probability, strength in pair
    ]
    return tuple(effect for taken, effect, name in found if taken and name in allowed)


def aug_mix(draws: Draws, count: int, magnitude: float, moves: "Moves") -> tuple[Effect, ...]:
    """The picture mixed with what three chains of one to three operations make of it (Hendrycks et al. 2020,
    https://arxiv.org/abs/1912.02781). Pixels of several places are mixed, so nothing moves where places matter."""
    del count
    names = _allowed(MIX, moves if moves == "all" else "")
    chains = tuple(
        tuple(
            MIX[names[draws.below(len(names))]](max(draws.share(), 0.1) * magnitude / (_BINS - 1), draws)
            for _ in range(1 + draws.below(3))
        )
        for _ in range(3)
    )
    parts = [draws.gamma(1.0) for _ in chains]
    kept, changed = draws.gamma(1.0), draws.gamma(1.0)
    own = kept / (kept + changed)
    shares = (own, *((1 - own) * each / sum(parts) for each in parts))
    return (Effect("mix", tuple(_digits(each) for each in shares), chains),)


Moves = str
"""all: nothing has a place; placed: what has one goes by a matrix; straight: that without turns and shears; "" none."""

POLICIES: Mapping[str, Callable[[Draws, int, float, Moves], tuple[Effect, ...]]] = {
    "rand_augment": rand_augment,
    "auto_augment": auto_augment,
    "trivial_augment": trivial_augment,
    "aug_mix": aug_mix,
}


def _allowed(operations: Mapping[str, Operation], moves: Moves) -> Sequence[str]:
    if moves in ("all", "placed"):
        return [*operations]
    forbidden = BENDS if moves == "straight" else (*MOVES,)
    probe = Draws("names")
    return [name for name, each in operations.items() if each(1.0, probe).name not in forbidden]


def _digits(value: float) -> float:
    return round(value, 6)
