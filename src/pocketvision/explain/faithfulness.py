"""Does a map show what the model goes by? Two questions that need no person: covering and uncovering, and random weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.explain.choice import Choice
from pocketvision.explain.heat_map import Heat, on_input
from pocketvision.explain.subject import Inputs, Subject

STEPS = 16
"""Of covering: so many equal parts of the picture, one after the other."""
RANDOM = 3
"""Random maps that a map is compared with."""
ALIKE = 0.5
"""Rank correlation from which on a map counts as the same with random weights."""
_COARSE = 16
"""What is not there yet is blurred to squares of so many pixels."""


@dataclass(frozen=True)
class Faithfulness:
    """Of one map. deletion: the mean chance of the answer while what is hottest is covered first, as a share of the whole
    picture's, where low is good; insertion: the same while it is uncovered first, where high is good (Petsiuk et al., 2018,
    section 4.2, https://arxiv.org/abs/1806.07421); both None where the chance does not fall when all is covered.
    random_deletion, random_insertion: of random maps as coarse. weights: rank correlation with the map of the same network with
    random weights (Adebayo et al., 2018, https://arxiv.org/abs/1810.03292); None where it was not looked at.
    """

    deletion: float | None
    insertion: float | None
    random_deletion: float | None
    random_insertion: float | None
    weights: float | None = None

    @property
    def failures(self) -> tuple[str, ...]:
        """Why the map is not to be believed; none where it passed all that could be asked."""
        found = []
        if self.deletion is not None and self.random_deletion is not None and self.deletion >= self.random_deletion:
            found.append("covering what it marks lowers the answer no more than covering random places")
        if self.insertion is not None and self.random_insertion is not None and self.insertion <= self.random_insertion:
            found.append("showing what it marks brings the answer back no better than showing random places")
        if self.weights is not None and abs(self.weights) >= ALIKE:
            found.append(f"it looks alike with random weights (rank correlation {self.weights:.2f})")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("deletion", "insertion", "random_deletion", "random_insertion", "weights")
        return {**{name: getattr(self, name) for name in names}, "failures": list(self.failures)}


def faithfulness(
    subject: Subject,
    image: Inputs,
    choice: Choice,
    heat: Heat,
    again: Callable[[], Heat] | None = None,
    *,
    steps: int = STEPS,
) -> Faithfulness:
    """Of a map (h, w) of one image (1, 3, H, W). again: the map of the same network with random weights; None does not ask.
    steps: of covering."""
    size = (image.shape[3], image.shape[2])
    rng = np.random.default_rng(0)
    others = [rng.random(np.minimum(heat.shape, 8)).astype(np.float32) for _ in range(RANDOM)]
    orders = [_order(on_input(_clean(each), size)) for each in (heat, *others)]
    gone, blurred = np.zeros_like(image), _blurred(image)
    seen, covered = subject.chances(np.concatenate([image, gone]), choice).tolist()
    scale = _Scale(seen, covered)
    deleted = [scale.shares(_curve(subject, image, gone, order, choice, steps)) for order in orders]
    inserted = [scale.shares(_curve(subject, blurred, image, order, choice, steps)) for order in orders]
    own, rest = deleted[0], [each for each in deleted[1:] if each is not None]
    shown, back = inserted[0], [each for each in inserted[1:] if each is not None]
    return Faithfulness(
        own,
        shown,
        float(np.mean(rest)) if rest else None,
        float(np.mean(back)) if back else None,
        None if again is None else rank_correlation(heat, again()),
    )


def _clean(heat: Heat) -> Heat:
    return np.nan_to_num(heat, nan=0.0, posinf=0.0, neginf=0.0)


def _order(heat: Heat) -> NDArray[np.int64]:
    """Pixels (H * W), the hottest first."""
    return np.argsort(-heat.ravel(), kind="stable")


@dataclass(frozen=True)
class _Scale:
    """The chances of the whole picture, which counts as 1, and of the covered one, which counts as 0."""

    seen: float
    covered: float

    def shares(self, chances: NDArray[np.float64]) -> float | None:
        """The mean under a curve; None where the answer does not depend on the picture, or is no number."""
        span = self.seen - self.covered
        if not np.isfinite(chances).all() or not span > 1e-6:
            return None
        shares = (chances - self.covered) / span
        return float((shares[1:] + shares[:-1]).mean() / 2)


def _curve(
    subject: Subject, first: Inputs, last: Inputs, order: NDArray[np.int64], choice: Choice, steps: int
) -> NDArray[np.float64]:
    """(steps + 1) the answer's chance as pixels of `last` take the place of those of `first`, in that order."""
    frames = np.repeat(first, steps + 1, axis=0)
    flat, to = frames.reshape(steps + 1, 3, -1), last.reshape(3, -1)
    for step in range(1, steps + 1):
        taken = order[: round(len(order) * step / steps)]
        flat[step][:, taken] = to[:, taken]
    return subject.chances(frames, choice)


def _blurred(image: Inputs) -> Inputs:
    height, width = image.shape[2:]
    small = (max(width // _COARSE, 1), max(height // _COARSE, 1))
    planes = [
        Image.fromarray(plane).resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BILINEAR)
        for plane in image[0]
    ]
    return np.stack([np.asarray(each, np.float32) for each in planes])[None]


def rank_correlation(one: Heat, other: Heat) -> float | None:
    """Spearman's, of two maps of one shape; None where one of them is the same everywhere."""
    first, second = (_ranks(_clean(each).ravel()) for each in (one, other))
    if first.std() == 0 or second.std() == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: NDArray[np.float64] = ((ends - counts + ends - 1) / 2)[inverse]
    return ranks


@dataclass(frozen=True)
class SetFaithfulness:
    """Of all maps of a method. maps: how many. deletion, insertion: by how much the map is better than random ones on average,
    with the 95 % interval (from, to) over the maps where there are several; None where nothing could be asked. weights: the mean
    rank correlation with random weights."""

    maps: int
    deletion: tuple[float, float, float] | None
    insertion: tuple[float, float, float] | None
    weights: float | None

    @classmethod
    def of(cls, each: Sequence[Faithfulness]) -> "SetFaithfulness":
        weights = [abs(one.weights) for one in each if one.weights is not None]
        return cls(
            len(each),
            _mean([_difference(one.random_deletion, one.deletion) for one in each]),
            _mean([_difference(one.insertion, one.random_insertion) for one in each]),
            float(np.mean(weights)) if weights else None,
        )

    @property
    def failures(self) -> tuple[str, ...]:
        """What the maps fail, as a set."""
        found = []
        for name, words in (
            ("deletion", "covering what they mark lowers the answers no more than covering random places"),
            ("insertion", "showing what they mark brings the answers back no better than showing random places"),
        ):
            better = getattr(self, name)
            if better is not None and better[0] <= 0:
                found.append(words)
        if self.weights is not None and self.weights >= ALIKE:
            found.append(f"they look alike with random weights (rank correlation {self.weights:.2f})")
        return tuple(found)

    @property
    def text(self) -> str:
        """In a sentence or two."""
        said = []
        for name, better in (("Deletion", self.deletion), ("insertion", self.insertion)):
            said.append(
                f"{name} AUC could not be measured"
                if better is None
                else f"{name} AUC better than random by {better[0]:+.3f} ({better[1]:+.3f} to {better[2]:+.3f})"
            )
        if self.weights is not None:
            said.append(f"rank correlation with random weights {self.weights:.2f}")
        figures = ", ".join(said) + f", {self.maps} map{'s' if self.maps != 1 else ''}."
        if self.failures:
            return f"These maps FAIL: {'; '.join(self.failures)}. {figures}"
        unsure = [
            name for name in ("deletion", "insertion") if (got := getattr(self, name)) is not None and got[1] <= 0
        ]
        more = f" Too few maps to be sure of {' and '.join(unsure)}." if unsure else ""
        return f"These maps pass. {figures}{more}" if self.deletion or self.insertion else figures

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "maps": self.maps,
            "deletion_better_by": self.deletion,
            "insertion_better_by": self.insertion,
            "random_weights_correlation": self.weights,
            "failures": list(self.failures),
        }


def _difference(more: float | None, less: float | None) -> float | None:
    return None if more is None or less is None else more - less


def _mean(values: Sequence[float | None]) -> tuple[float, float, float] | None:
    """With the 95 % interval of a mean; of one value the value."""
    known = np.array([each for each in values if each is not None])
    if len(known) == 0:
        return None
    mean = float(known.mean())
    half = 1.96 * float(known.std(ddof=1)) / len(known) ** 0.5 if len(known) > 1 else 0.0
    return mean, mean - half, mean + half
