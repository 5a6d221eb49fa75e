"""Layers and what they see, as pages."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from pocketvision.explain.page import document

if TYPE_CHECKING:
    from pocketvision.explain.layer_statistics import LayerStatistics, Spread

_STYLE = """
table { border-collapse: collapse; width: 100%; font-size: var(--text-s); }
th, td { text-align: right; padding: .3rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
.scroll { overflow-x: auto; }
svg { display: block; fill: var(--series-1); }
"""


def layer_page(found: "Sequence[LayerStatistics]", bundle: str, images: int) -> str:
    """A table of weights, and one of outputs where there are images."""
    body = [f'<p class="lead">{escape(bundle)}: {len(found)} layers.</p>', "<h2>Weights</h2>"]
    body.append(
        _table([(each.name, each.kind, each.shape, each.weights) for each in found if each.weights is not None])
    )
    if images:
        body.append(f"<h2>Outputs for {images} pictures</h2>")
        body.append(
            "<p>A dead channel is the same at every place of every picture; a layer that gives one number a channel "
            "shows none in one picture.</p>"
        )
        body.append(_table([(each.name, each.kind, (), each.outputs) for each in found if each.outputs is not None]))
    else:
        body.append('<p class="small">Give pictures to see what the layers put out.</p>')
    return document("What the layers hold", body, style=_STYLE)


def _table(rows: Sequence[tuple[str, str, tuple[int, ...], "Spread | None"]]) -> str:
    cells = []
    for name, kind, shape, own in rows:
        assert own is not None
        numbers = [f"{value:.3g}" for value in (own.mean, own.sd, own.least, own.largest)]
        dead = f'<span class="fails">{own.dead}</span>' if own.dead else "0"
        lost = f' <span class="fails">{own.not_numbers} no numbers</span>' if own.not_numbers else ""
        what = " × ".join(map(str, shape)) or kind
        columns = [
            f"{escape(name)}{lost}",
            escape(what),
            *numbers,
            f"{own.zeros:.1%}",
            f"{dead} of {own.channels}" if own.channels else "–",
            _bars(own),
        ]
        cells.append(f"<tr>{''.join(f'<td>{each}</td>' for each in columns)}</tr>")
    heads = ("Layer", "Shape or kind", "Mean", "SD", "Least", "Largest", "Zeros", "Dead channels", "Histogram")
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{"".join(f"<th>{each}</th>" for each in heads)}</tr></thead>'
        f"<tbody>{''.join(cells)}</tbody></table></div>"
    )


def _bars(own: "Spread") -> str:
    most = max(own.histogram, default=0) or 1
    bars = "".join(
        f'<rect x="{5 * place}" y="{28 - 28 * count / most:.1f}" width="4" height="{28 * count / most:.1f}"/>'
        for place, count in enumerate(own.histogram)
        if count
    )
    said = f"{own.count} numbers from {own.least:.3g} to {own.largest:.3g}"
    return f'<svg width="{5 * len(own.histogram)}" height="28" role="img" aria-label="{said}">{bars}</svg>'


def feature_page(files: Sequence[tuple[str, str, str]], bundle: str) -> str:
    """files: of each sheet its title, what it shows, and its name in the folder."""
    figures = [
        f'<figure><h2>{escape(title)}</h2><div class="wide"><img src="{quote(file)}" alt="{escape(said)}"></div>'
        f"<figcaption>{escape(said)}</figcaption></figure>"
        for title, said, file in files
    ]
    return document("What the layers see", [f'<p class="lead">{escape(bundle)}</p>', *figures])
