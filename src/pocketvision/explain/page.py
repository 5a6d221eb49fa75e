"""Pages of explanations: plain HTML with the house's style, nothing loaded from elsewhere."""

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from pocketvision.explain.explained import ExplainedAnswer, Explanation
from pocketvision.explain.methods import METHODS
from pocketvision.style import stylesheet

_LAYOUT = """
main { max-width: var(--width); margin: 0 auto; padding: 1.5rem var(--edge) 4rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
.grid figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: var(--radius); padding: .75rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; }
.pair img, .wide img { width: 100%; height: auto; border-radius: 6px; display: block; }
figcaption { font-size: var(--text-s); margin-top: .5rem; overflow-wrap: anywhere; }
.fails { background: var(--bad-faint); color: var(--bad); padding: .1rem .4rem; border-radius: 4px; font-weight: 600; }
.passes { background: var(--good-faint); color: var(--good); padding: .1rem .4rem; border-radius: 4px; font-weight: 600; }
@media print { .grid { grid-template-columns: 1fr 1fr; } figure { break-inside: avoid; } }
"""


def document(title: str, body: Sequence[str], *, style: str = "", script: str = "") -> str:
    """A whole page."""
    scripts = f"<script>{script}</script>" if script else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{stylesheet()}{_LAYOUT}{style}</style></head><body><main><h1>{escape(title)}</h1>"
        f"{''.join(body)}</main>{scripts}</body></html>\n"
    )


def explanation_page(found: Explanation, bundle: str, leaves_out: str = "") -> str:
    """The maps, each beside its picture, and above them how far they are to be believed. leaves_out: what the map does not
    show."""
    method = METHODS[found.method].what
    body = [f'<p class="lead">{escape(bundle)}: {escape(method)} ({escape(found.method)}).</p>']
    if leaves_out:
        body.append(f"<p>{escape(leaves_out)}</p>")
    if found.overall is not None:
        mark = "fails" if found.overall.failures else "passes"
        body.append(
            f'<p><span class="{mark}">{"Fails" if mark == "fails" else "Passes"}</span> {escape(found.overall.text)}</p>'
        )
        body.append(
            '<p class="small">Deletion: the answer\'s mean chance while the hottest places are covered first; insertion: while '
            "they are shown first; both against random maps. Random weights: a map that does not change with them shows edges, "
            "not what was learned.</p>"
        )
    else:
        body.append('<p class="small">These maps were not checked (--no-checks).</p>')
    body.append(f'<div class="grid">{"".join(map(_figure, found.answers))}</div>')
    return document("Where the model looks", body)


def _figure(each: ExplainedAnswer) -> str:
    name = escape(each.picture)
    if each.error is not None:
        return f"<figure><figcaption>{name}: {escape(each.error)}</figcaption></figure>"
    pictures = f'<img src="{quote(each.original)}" alt="{name}" loading="lazy">'
    if each.file:
        pictures += f'<img src="{quote(each.file)}" alt="Heat map of {escape(each.words)}" loading="lazy">'
    said = [f"<strong>{escape(each.words or each.headline)}</strong>", f"{name}"]
    if each.note:
        said.append(f'<span class="fails">{escape(each.note)}</span>')
    if each.faithfulness is not None:
        said.append(_checked(each))
    return f'<figure><div class="pair">{pictures}</div><figcaption>{"<br>".join(said)}</figcaption></figure>'


def _checked(each: ExplainedAnswer) -> str:
    own = each.faithfulness
    assert own is not None
    figures = [
        f"{name} {value:.2f} (random {other:.2f})"
        for name, value, other in (
            ("deletion", own.deletion, own.random_deletion),
            ("insertion", own.insertion, own.random_insertion),
        )
        if value is not None and other is not None
    ]
    if own.weights is not None:
        figures.append(f"random weights {own.weights:.2f}")
    text = escape(", ".join(figures) or "the answer does not fall when all is covered, so nothing could be measured")
    if own.failures:
        return f'<span class="fails">Fails</span> {escape("; ".join(own.failures))}. {text}'
    return text
