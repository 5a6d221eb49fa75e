"""Pictures as points on one page that can be used by mouse, touch and keyboard, with nothing loaded from elsewhere."""

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import ImageError
from pocketvision.explain.embeddings import Neighbour
from pocketvision.explain.page import document
from pocketvision.preprocessing import read_image

THUMBNAIL = 96
"""Pixels of the longer side of a picture on the pages."""
QUALITY = 70
_STRIPS = """
.strip { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; } .strip figure { margin: 0; max-width: 100%; }
.strip img { height: 96px; width: auto; max-width: 100%; border-radius: 6px; display: block; } .row { margin: 1.4rem 0; }
.large img { height: auto; max-height: 320px; } @media print { .row { break-inside: avoid; } }
"""
PAGE_FOLDER = Path(__file__).parent / "page_files"


def data_uri(file: Path, size: int = THUMBNAIL) -> str:
    """A small JPEG of a picture, for a page; empty where it can not be read."""
    try:
        image = read_image(file).image
    except ImageError:
        return ""
    image.thumbnail((size, size))
    held = io.BytesIO()
    image.save(held, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(held.getvalue()).decode("ascii")


def embedding_page(
    files: Sequence[Path], names: Sequence[str], places: NDArray[np.float32], bundle: str, said: str
) -> str:
    """places: (n, 2). said: how the places came about."""
    low, span = places.min(axis=0), np.maximum(np.ptp(places, axis=0), 1e-9)
    unit = (places - low) / span
    points: list[list[Any]] = [
        [round(float(x), 4), round(float(1 - y), 4), name, file.name, data_uri(file)]
        for (x, y), name, file in zip(unit.tolist(), names, files, strict=True)
    ]
    script = (PAGE_FOLDER / "embedding.js").read_text(encoding="utf-8")
    told = json.dumps(points).replace("</", "<\\/")
    body = [
        f'<p class="lead">{escape(bundle)}: {len(points)} pictures. {escape(said)}</p>',
        '<p class="small" id="how">Click a point, or tab to the plot: arrow keys go to the nearest point that way, Home to the '
        "first. Check a class to show it.</p>",
        '<div id="classes"></div>',
        '<div class="plot"><svg id="plot" viewBox="0 0 1000 700" role="application" tabindex="0" aria-labelledby="how"></svg>'
        '<figure id="shown" aria-live="polite"><img alt="" hidden><figcaption></figcaption></figure></div>',
        f'<script type="application/json" id="points">{told}</script>',
    ]
    style = (PAGE_FOLDER / "embedding.css").read_text(encoding="utf-8")
    return document("Which pictures look alike to the model", body, style=style, script=script)


def neighbours_page(rows: Sequence[tuple[str, str, Sequence[Neighbour]]], bundle: str) -> str:
    """rows: of each picture its path, what is said of it, and its neighbours."""
    body = [f'<p class="lead">{escape(bundle)}: the training pictures that look most alike to the model.</p>']
    for path, said, found in rows:
        figures = "".join(_shown(each.file, f"{each.name} {each.similarity:.2f}".strip()) for each in found)
        body.append(
            f'<section class="row"><h2>{escape(said)}</h2><p class="small">{escape(path)}</p><div class="strip">'
            f'{_shown(Path(path), "this picture")}<span aria-hidden="true">→</span>{figures}</div></section>'
        )
    return document("Nearest training pictures", body, style=_STRIPS)


def _shown(file: Path, said: str) -> str:
    source = data_uri(file)
    picture = f'<img src="{source}" alt="{escape(file.name)}">' if source else "<em>gone</em>"
    return f"<figure>{picture}<figcaption>{escape(said)}</figcaption></figure>"


def mistakes_page(rows: Sequence[tuple[str, str, str, str, Sequence[Neighbour]]], bundle: str, said: str) -> str:
    """rows: of each mistake what was wrong, the image's path, the files of the picture and of its map (empty where there is none)
    in the page's folder, and its neighbours. said: how far the maps are to be believed."""
    body = [
        f'<p class="lead">{escape(bundle)}: the worst mistakes first.</p>',
        f"<p>{escape(said)}</p>" if said else "",
    ]
    for text, path, original, file, found in rows:
        shots = "".join(
            f'<figure><img src="{quote(each)}" alt="{escape(what)}"><figcaption>{what}</figcaption></figure>'
            for each, what in ((original, "picture"), (file, "where it looked"))
            if each
        )
        near = "".join(_shown(each.file, f"{each.name} {each.similarity:.2f}".strip()) for each in found)
        more = f'<p class="small">Nearest training pictures</p><div class="strip">{near}</div>' if near else ""
        body.append(
            f'<section class="row"><h2>{escape(text)}</h2><p class="small">{escape(path)}</p>'
            f'<div class="strip large">{shots}</div>{more}</section>'
        )
    return document("Mistakes, where the model looked, and what they resemble", body, style=_STRIPS)
