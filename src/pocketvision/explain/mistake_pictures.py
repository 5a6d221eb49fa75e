"""Beside each mistake of a report: where the model looked, and its nearest training pictures."""

import base64
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.errors import PocketVisionError
from pocketvision.evaluation.report.looked import Believed, Looked, Near
from pocketvision.explain.choice import CHOICES, Choice
from pocketvision.explain.embeddings import Embedded, nearest, vectors_of
from pocketvision.explain.faithfulness import ALIKE, Faithfulness, SetFaithfulness, faithfulness
from pocketvision.explain.heat_map import HeatMap, laid_over, on_image, positive
from pocketvision.explain.methods import MapOptions, mapped
from pocketvision.explain.subject import Inputs, Subject
from pocketvision.preprocessing import DecodedImage, Placement, read_image

MOST = 36
"""Mistakes that have something beside them."""
CHECKED, STEPS = 2, 6
"""Maps that are checked, and steps of covering: fewer than elsewhere, for a report is not to wait for them."""
SIDE, SMALL = 240, 96
"""Pixels of a map, and of a neighbour."""
NEIGHBOURS = 3


class MistakePictures:
    """See Looking (evaluation/report/looked.py). What can not be shown of a picture is left out: no report fails for it."""

    def __init__(self, subject: Subject, root: Path, method: str | None, among: Embedded | None) -> None:
        """root: where the images' paths start. method: of METHODS, None for no maps. among: training pictures, None for none."""
        self._subject, self._root, self._method, self._among = subject, root, method, among
        self._made: dict[str, Looked | None] = {}
        self._small: dict[Path, str] = {}
        self._checked: list[Faithfulness] = []
        self._random: Subject | None = None

    def __call__(self, path: str) -> Looked | None:
        if path not in self._made:
            enough = len(self._made) >= MOST
            self._made[path] = None if enough else self._looked(self._root / path)
        return self._made[path]

    def believed(self) -> Believed | None:
        if not self._checked:
            return None
        overall = SetFaithfulness.of(self._checked)
        deletion, insertion = (0.0 if each is None else each[0] for each in (overall.deletion, overall.insertion))
        # Of so few maps only what is beyond doubt counts as a failure.
        surely = any(each is not None and each[2] <= 0 for each in (overall.deletion, overall.insertion))
        alike = overall.weights is not None and overall.weights >= ALIKE
        return Believed(overall.maps, deletion, insertion, overall.weights or 0.0, surely or alike)

    def _looked(self, file: Path) -> Looked | None:
        try:
            read = read_image(file)
            preprocessing = self._subject.bundle.preprocessing
            image = preprocessing.normalise(preprocessing.pixels(read.image))[None]
            near = self._near(image)
            data, words = self._map(read, image) if self._method is not None else ("", "")
        except (PocketVisionError, OSError):
            return None
        return Looked(data, words, near) if data or near else None

    def _near(self, image: Inputs) -> tuple[Near, ...]:
        if self._among is None:
            return ()
        (found,) = nearest(vectors_of(self._subject, image), self._among, NEIGHBOURS)
        return tuple(Near(self._thumbnail(each.file), each.name, each.similarity) for each in found)

    def _thumbnail(self, file: Path) -> str:
        if file not in self._small:
            try:
                self._small[file] = _uri(np.asarray(read_image(file).image), SMALL)
            except (PocketVisionError, OSError):
                self._small[file] = ""
        return self._small[file]

    def _map(self, read: DecodedImage, image: Inputs) -> tuple[str, str]:
        subject = self._subject
        placement = subject.bundle.preprocessing.placement(read.placement)
        outputs = subject.run(image)
        for name, task in subject.bundle.tasks.items():
            choices = subject.choices(name, outputs, placement) if task.kind in CHOICES else []
            if choices:
                heat = self._heat(subject, image, choices[0])
                if len(self._checked) < CHECKED and not heat.is_flat:
                    self._check(image, choices[0], heat)
                return _uri(_over(read, placement, heat), SIDE), choices[0].words
        return "", ""

    def _heat(self, subject: Subject, image: Inputs, choice: Choice) -> HeatMap:
        assert self._method is not None
        return mapped(self._method, subject, image, choice, MapOptions())

    def _check(self, image: Inputs, choice: Choice, heat: HeatMap) -> None:
        if self._random is None:
            self._random = self._subject.with_random_weights()
        other = self._random
        again = lambda: self._heat(other, image, choice).values  # noqa: E731 (of this image)
        found = faithfulness(self._subject, image, choice, heat.values, again, steps=STEPS)
        self._checked.append(found)


def _over(read: DecodedImage, placement: Placement, heat: HeatMap) -> NDArray[np.uint8]:
    """The map over a small copy of the picture: over the whole one it takes ten times as long."""
    small = read.image.copy()
    small.thumbnail((SIDE, SIDE))
    (width, height), (across, down) = placement.image_size, small.size
    matrix = placement.matrix @ np.diag([width / across, height / down, 1.0])
    placed = Placement((across, down), matrix, placement.input_size)
    return laid_over(np.asarray(small), positive(on_image(heat.values, placed)))


def _uri(pixels: np.ndarray, side: int) -> str:
    """A small picture as a data URI."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    written = io.BytesIO()
    image.save(written, "WEBP", quality=70)
    return "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode("ascii")
