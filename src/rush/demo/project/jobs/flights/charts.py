"""
Pictures for a page: plain HTML and SVG, without a script.

Widths are per cent and heights and letters are pixels, so that a picture fits
any screen and stays readable on all of them. Colours and fonts are the page's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One value with its name. `marked` is for the one that the title speaks of."""

    label: str
    value: float
    #: What stands at the bar: the value as people write it.
    text: str
    #: Further columns of the row.
    more: tuple[str, ...] = ()
    #: What stands on the axis below a column; nothing where the axis would be too full.
    tick: str = ""
    marked: bool = False


def bars(rows: Sequence[Bar], *, head: Sequence[str]) -> str:
    """A table whose numbers can be compared by eye. `head` names the columns, the label's first."""
    most = max((row.value for row in rows), default=0) or 1
    label, value, *more = head
    titles = "".join(f"<th class=number>{escape(title)}</th>" for title in more)
    return (
        f"<table class=bars><thead><tr><th>{escape(label)}</th><th>{escape(value)}</th>{titles}"
        f"</tr></thead><tbody>{''.join(_bar(row, most) for row in rows)}</tbody></table>"
    )


def _bar(row: Bar, most: float) -> str:
    more = "".join(f"<td class=number>{escape(text)}</td>" for text in row.more)
    width = max(row.value, 0) / most * 100
    return (
        f"<tr{' class=marked' if row.marked else ''}><th scope=row>{escape(row.label)}</th>"
        f'<td class=bar><div><i style="width:{width:.1f}%"></i><b>{escape(row.text)}</b></div></td>'
        f"{more}</tr>"
    )


#: Pixels: of the picture, of the room above the highest column, of the room for the axis.
HEIGHT, ABOVE, BELOW = 180, 18, 20


def columns(rows: Sequence[Bar], *, described: str) -> str:
    """
    Upright bars side by side, for what has an order. Very many have no text but the
    marked one's; `dense` ones leave it to the page whether there is room.
    """
    most = max((row.value for row in rows), default=0) or 1
    step = 100 / max(len(rows), 1)
    kind = "columns dense" if len(rows) > 20 else "columns"
    inside = "".join(_column(row, index, step, most) for index, row in enumerate(rows))
    floor = HEIGHT - BELOW
    return (
        f'<svg class="{kind}" role=img aria-label="{escape(described)}" height={HEIGHT}>'
        f'{inside}<line x1=0 x2="100%" y1={floor} y2={floor} /></svg>'
    )


def _column(row: Bar, index: int, step: float, most: float) -> str:
    gap = 0.2 * step
    height = max(row.value, 0) / most * (HEIGHT - ABOVE - BELOW)
    top = HEIGHT - BELOW - height
    centre = (index + 0.5) * step
    parts = [
        f"<title>{escape(row.label)}: {escape(row.text)}</title>",
        f'<rect x="{index * step + gap / 2:.3f}%" y={top:.1f} '
        f'width="{step - gap:.3f}%" height={height:.1f} />',
    ]
    if step > 3 or row.marked:
        parts.append(f'<text x="{centre:.3f}%" y={top - 5:.1f}>{escape(row.text)}</text>')
    if row.tick:
        parts.append(f'<text class=tick x="{centre:.3f}%" y={HEIGHT - 5}>{escape(row.tick)}</text>')
    return f"<g{' class=marked' if row.marked else ''}>{''.join(parts)}</g>"
