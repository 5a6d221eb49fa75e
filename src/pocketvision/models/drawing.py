"""An architecture as a drawing (SVG): one box a stage, wider the more channels it has, higher the more pixels. Needs no torch."""

from dataclasses import dataclass
from xml.sax.saxutils import escape

from pocketvision.models.cost import layers, total
from pocketvision.models.layer import Layer
from pocketvision.models.spec import ModelSpec, StageLine
from pocketvision.printable import printable

_GAP, _MARGIN, _TOP, _LABELS = 26, 24, 64, 104
_TALLEST = 190
_OTHER = "#b56576"
_COLOURS = {"stem": "#8d99ae", "inverted": "#3a7ca5", "fused": "#d17b0f", "separable": "#2a9d8f", "head": "#6d597a"}


@dataclass(frozen=True)
class _Box:
    kind: str
    title: str
    lines: tuple[str, ...]
    channels: int
    size: int


def draw(architecture: ModelSpec, *, size: int | None = None) -> str:
    """The drawing as the text of an SVG file, for a square input of `size` pixels (None: the architecture's)."""
    side = architecture.input_size if size is None else size
    boxes = _boxes(architecture, side)
    widths = [28 + 56 * (box.channels / max(each.channels for each in boxes)) ** 0.5 for box in boxes]
    total_width = 2 * _MARGIN + sum(max(width, 92) for width in widths) + _GAP * (len(boxes) - 1)
    height = _TOP + _TALLEST + _LABELS + _MARGIN
    cost = total(layers(architecture, size=side))
    caption = f"{side} px · {cost.parameters / 1e6:.2f} M parameters · {cost.macs / 1e6:,.0f} M multiply-accumulates"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total_width:.0f} {height}" font-family="sans-serif">',
        f"<title>{escape(printable(architecture.name))}</title>",
        f'<rect width="{total_width:.0f}" height="{height}" fill="#ffffff"/>',
        _text(_MARGIN, 28, architecture.name, 18, "start", weight="bold"),
        _text(_MARGIN, 48, caption, 12, "start"),
    ]
    left, middle, end = float(_MARGIN), _TOP + _TALLEST / 2, 0.0
    for box, width in zip(boxes, widths, strict=True):
        column = max(width, 92)
        centre = left + column / 2
        if end:
            line = f"M{end + 4:.0f} {middle:.0f}H{centre - width / 2 - 4:.0f}"
            parts.append(f'<path d="{line}" stroke="#555" stroke-width="1.5"/>')
        parts += _drawn(box, centre, width, middle)
        end = centre + width / 2
        left += column + _GAP
    return "\n".join([*parts, "</svg>", ""])


def _drawn(box: _Box, centre: float, width: float, middle: float) -> list[str]:
    tallest = _TALLEST * (box.size / max(box.size, 128)) ** 0.5
    height = max(tallest, 16.0)
    rectangle = (
        f'<rect x="{centre - width / 2:.1f}" y="{middle - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="4" fill="{_COLOURS.get(box.kind, _OTHER)}"/>'
    )
    below = _TOP + _TALLEST + 16
    lines = [_text(centre, below, box.title, 12, "middle", weight="bold")]
    return [
        rectangle,
        *lines,
        *(_text(centre, below + 15 * n, line, 11, "middle") for n, line in enumerate(box.lines, 1)),
    ]


def _boxes(architecture: ModelSpec, side: int) -> list[_Box]:
    found = layers(architecture, size=side)
    first = found[0]
    height, width = first.kernel_sides
    boxes = [
        _Box(
            "stem",
            "stem",
            (f"{first.out_channels} ch · {first.size} px", f"{height}x{width}"),
            first.out_channels,
            first.size,
        )
    ]
    for number, row in enumerate(architecture.stage_lines()):
        own = [layer for layer in found if layer.stage == number]
        boxes.append(_stage_box(number, row, own))
    wide = architecture.feature_channels()
    boxes.append(_Box("head", "head", (f"{wide} features",), wide, 1))
    return boxes


def _stage_box(number: int, row: StageLine, own: list[Layer]) -> _Box:
    cost, last = total(own), own[-1]
    kernel = "" if row.kernel is None else f" {row.kernel}x{row.kernel}"
    shape = f"{row.repeats} x {row.block}{kernel}"
    extra = " ".join(
        word
        for word in (f"e{row.expansion:g}" if row.expansion not in (None, 1) else "", "SE" if row.squeezes else "")
        if word
    )
    lines = (f"{row.channels} ch · {last.size} px", shape, extra, f"{cost.macs / 1e6:,.1f} M MACs")
    return _Box(row.block, f"stage {number}", tuple(line for line in lines if line), row.channels, last.size)


def _text(x: float, y: float, text: str, size: int, anchor: str, *, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="#222">'
        f"{escape(printable(text))}</text>"
    )
