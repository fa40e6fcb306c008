"""The sequence diagram as an SVG picture, light or dark as the reader has it, without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from textwrap import wrap

from dlmtrace.views.excerpt import Item
from dlmtrace.views.ladder import LEGEND, Ladder, marks
from dlmtrace.views.places import Places

MARGIN, GAP, ROW, TOP = 260, 380, 20, 86
"""Pixels: room for time and packet, between two lanes, between two arrows, above the first arrow."""

LETTER = 6.7
"""Pixels of a letter of the labels."""

DASHES = {"resent": "6 4", "hole": "1 4"}

COLOURS = 8
"""Of connections, by turns; the style sheet has them."""

_STYLE = """
svg { font: 11px ui-monospace, "DejaVu Sans Mono", monospace; background: #fff; color: #222 }
.paper { fill: #fff } text { fill: #222 } .quiet { fill: #666 } .title { font-weight: bold; font-size: 13px }
.lane { stroke: #bbb }
.k0 { --ink: #0b6e99 } .k1 { --ink: #2f7d32 } .k2 { --ink: #8e3b9e } .k3 { --ink: #3949ab } .k4 { --ink: #8a6d00 }
.k5 { --ink: #00796b } .k6 { --ink: #6d4c41 } .k7 { --ink: #455a64 } .wrong { --ink: #c62828 }
.arrow { stroke: var(--ink); fill: none; stroke-width: 1.3 } .head { stroke: var(--ink); fill: var(--ink) }
.hollow { stroke: var(--ink); fill: #fff } .ack { opacity: .6 } .cross { stroke-width: 2 }
@media (prefers-color-scheme: dark) {
svg { background: #16181c } .paper, .hollow { fill: #16181c } text { fill: #ddd } .quiet { fill: #999 }
.lane { stroke: #555 }
.k0 { --ink: #4fc3f7 } .k1 { --ink: #81c784 } .k2 { --ink: #ce93d8 } .k3 { --ink: #9fa8da } .k4 { --ink: #ffd54f }
.k5 { --ink: #4db6ac } .k6 { --ink: #bcaaa4 } .k7 { --ink: #90a4ae } .wrong { --ink: #ef5350 }
}
"""


def ladder_svg(ladder: Ladder, places: Places, title: str, notes: Sequence[str]) -> str:
    """The picture; ``notes`` stand below it."""
    lanes = [MARGIN + GAP * number for number in range(len(ladder.headings))]
    width = lanes[-1] + 60
    lines = _wrapped(title, int((width - 30) / (LETTER + 1.2)))
    top = TOP + ROW * (len(lines) - 1)
    legend = ladder.legend()
    bottom = top + ROW * len(ladder.items)
    height = bottom + 24 + ROW * (len(legend) + len(notes))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
        *(_text(14, 24 + ROW * row, line, "title") for row, line in enumerate(lines)),
    ]
    for x, heading in zip(lanes, ladder.headings, strict=True):
        parts.append(_text(x, top - 26, heading, "title", "middle"))
        parts.append(f'<line class="lane" x1="{x}" x2="{x}" y1="{top - 18}" y2="{bottom}"/>')
    before = None
    for row, item in enumerate(ladder.items):
        y = top + ROW * row
        if item.connection is None:
            parts.append(_text((lanes[0] + lanes[-1]) / 2, y + 4, f"… {item.label} …", "quiet", "middle"))
            before = None
            continue
        if item.packet != before:  # what one packet brought stands below its number and time
            parts.append(_text(14, y + 4, places.moment(item.time), "quiet"))
            parts.append(_text(MARGIN - 14, y + 4, places.packet(item.packet), "quiet", "end"))
        before = item.packet
        parts += _arrow(ladder, item, lanes, y, places)
    for row, mark in enumerate(legend):
        y = bottom + 20 + ROW * row
        parts += ['<g class="k0">', *_stroke(30, 90, y, [mark]), "</g>"]
        parts.append(_text(104, y + 4, LEGEND[mark], "quiet"))
    for row, note in enumerate(notes, len(legend)):
        parts.append(_text(14, bottom + 24 + ROW * row, note, "quiet"))
    return "\n".join([*parts, "</svg>", ""])


def _arrow(ladder: Ladder, item: Item, lanes: Sequence[int], y: int, places: Places) -> Iterator[str]:
    source, target = (lanes[lane] for lane in ladder.ends(item))
    colour = "wrong" if item.kind in ("rst", "end") else f"k{ladder.colour(item) % COLOURS}"
    quiet = " ack" if item.label.startswith("ACK ") else ""
    label = ladder.label(item)
    told = [label, f"packet {places.packet(item.packet)}, {places.moment(item.time)}"]
    told += [LEGEND[mark] for mark in marks(item)]
    yield f'<g class="{colour}{quiet}"><title>{escape("; ".join(told))}</title>'
    if item.kind == "end":
        yield f'<line class="arrow" stroke-dasharray="1 4" x1="{source}" x2="{target}" y1="{y}" y2="{y}"/>'
    else:
        yield from _stroke(source, target, y, marks(item))
    most = int((abs(target - source) - 80) / LETTER)
    shown = label if len(label) <= most else label[: most - 1] + "…"
    middle, half = (source + target) / 2, len(shown) * LETTER / 2 + 4
    yield f'<rect class="paper" x="{middle - half:g}" y="{y - 8}" width="{2 * half:g}" height="16"/>'
    yield _text(middle, y + 4, shown, "", "middle")
    yield "</g>"


def _stroke(source: float, target: float, y: int, drawn_by: Sequence[str]) -> Iterator[str]:
    """A line with its head or cross."""
    way, lost = 1 if target > source else -1, "lost" in drawn_by
    end = target - way * (22 if lost else 9)
    dashes = next((f' stroke-dasharray="{DASHES[mark]}"' for mark in drawn_by if mark in DASHES), "")
    yield f'<line class="arrow"{dashes} x1="{source}" x2="{end}" y1="{y}" y2="{y}"/>'
    if lost:
        yield f'<path class="arrow wrong cross" d="M{end - 5} {y - 5}l10 10m0 -10l-10 10"/>'
    else:
        shape = "hollow" if "ignored" in drawn_by else "head"
        yield f'<path class="{shape}" d="M{target - way} {y}l{-9 * way} -4v8z"/>'


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, max(width, 20)) or [""]
