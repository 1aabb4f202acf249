"""Lay out a small directed graph from top to bottom and paint it, without a network or a system library.

Nodes on the longest way through stand in one column; other edges go round it, the ways back on the right.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from PIL import Image, ImageDraw, ImageFont

__all__ = ["draw_png"]

Edge = tuple[str, str, bool]
"""Source, target, and whether the way is taken only sometimes."""
_Point = tuple[float, float]
_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

_SCALE: Final = 3  # drawn large and shrunk: Pillow's lines have no anti-aliasing of their own
_RESOLUTION: Final = 2  # pixels a unit, for dense screens
_FONT_SIZE: Final = 16
_BOX_HEIGHT: Final = 42
_GAP: Final = 38
_MARGIN: Final = 28
_LANE: Final = 30  # between two edges that go round
_PAPER, _INK, _QUIET = "#ffffff", "#1f2937", "#94a3b8"
_FILL, _OUTLINE, _END_FILL = "#eef2ff", "#6366f1", "#1f2937"


def draw_png(nodes: Sequence[str], edges: Sequence[Edge]) -> bytes:
    """Return the picture of `nodes` (`__start__` and `__end__` are drawn as ends) and `edges`, as PNG."""
    rows = _rows(nodes, edges)
    font = ImageFont.load_default(_FONT_SIZE * _SCALE)
    widths = {name: font.getlength(_label(name)) / _SCALE + 36 for name in rows}
    around = [edge for edge in edges if rows[edge[1]] - rows[edge[0]] != 1]
    right = sorted((e for e in around if rows[e[1]] <= rows[e[0]]), key=lambda e: rows[e[0]] - rows[e[1]])
    left = sorted((e for e in around if rows[e[1]] > rows[e[0]]), key=lambda e: rows[e[1]] - rows[e[0]])
    half = max(widths.values()) / 2
    centre = _MARGIN + half + _LANE * (len(left) + 0.5)
    width = centre + half + _LANE * (len(right) + 0.5) + _MARGIN
    height = 2 * _MARGIN + (max(rows.values()) + 1) * (_BOX_HEIGHT + _GAP) - _GAP
    image = Image.new("RGB", (int(width * _SCALE), int(height * _SCALE)), _PAPER)
    pen = _Pen(ImageDraw.Draw(image))

    def middle(name: str) -> _Point:
        return centre, _MARGIN + rows[name] * (_BOX_HEIGHT + _GAP) + _BOX_HEIGHT / 2

    for source, target, is_conditional in edges:
        if rows[target] - rows[source] == 1:
            start, end = middle(source), middle(target)
            points = [(centre, start[1] + _BOX_HEIGHT / 2), (centre, end[1] - _BOX_HEIGHT / 2)]
            pen.arrow(points, is_dashed=is_conditional)
    for side, lanes in ((1, right), (-1, left)):
        for lane, (source, target, is_conditional) in enumerate(lanes, 1):
            shift = 8 if rows[target] != rows[source] else 0
            down = 1 if rows[target] > rows[source] else -1
            start = centre + side * widths[source] / 2, middle(source)[1] + shift * down
            end = centre + side * widths[target] / 2, middle(target)[1] - shift * down
            pen.arrow(_detour(start, end, centre + side * (half + lane * _LANE)), is_dashed=is_conditional)
    for name in rows:
        pen.box(middle(name), widths[name], _label(name), font, is_end=name.startswith("__"))
    buffer = io.BytesIO()
    size = int(width * _RESOLUTION), int(height * _RESOLUTION)
    image.resize(size, Image.Resampling.LANCZOS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


class _Pen:
    """Paints in the graph's units."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self._draw = draw

    def box(
        self,
        middle: _Point,
        width: float,
        label: str,
        font: _Font,
        *,
        is_end: bool,
    ) -> None:
        """Paint a node."""
        x, y = middle
        corners = [value * _SCALE for value in (x - width / 2, y - _BOX_HEIGHT / 2, x + width / 2, y + _BOX_HEIGHT / 2)]
        fill, outline, ink = (_END_FILL, _END_FILL, _PAPER) if is_end else (_FILL, _OUTLINE, _INK)
        radius = _BOX_HEIGHT / 2 if is_end else 10
        self._draw.rounded_rectangle(corners, radius * _SCALE, fill, outline, int(1.8 * _SCALE))
        self._draw.text((x * _SCALE, y * _SCALE), label, ink, font, anchor="mm")

    def arrow(self, points: Sequence[_Point], *, is_dashed: bool) -> None:
        """Paint a line through `points` with a head at its end."""
        colour = _QUIET if is_dashed else _INK
        thickness = int(1.8 * _SCALE)
        for start, end in _dashes(points) if is_dashed else list(pairwise(points)):
            self._draw.line([start[0] * _SCALE, start[1] * _SCALE, end[0] * _SCALE, end[1] * _SCALE], colour, thickness)
        (x0, y0), (x1, y1) = points[-2:]
        angle = math.atan2(y1 - y0, x1 - x0)
        head = [points[-1]] + [
            (x1 - 11 * math.cos(angle + turn), y1 - 11 * math.sin(angle + turn)) for turn in (0.42, -0.42)
        ]
        self._draw.polygon([(x * _SCALE, y * _SCALE) for x, y in head], colour)


def _rows(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Place every node one row below the lowest of its predecessors; edges back to a node under way do not count."""
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target, _ in edges:
        after[source].append(target)
    order: list[str] = []
    forward: set[tuple[str, str]] = set()
    state: dict[str, int] = {}

    def visit(name: str) -> None:
        state[name] = 1
        for target in after[name]:
            if state.get(target) != 1:
                forward.add((name, target))
            if target not in state:
                visit(target)
        state[name] = 2
        order.append(name)

    for name in nodes:
        if name not in state:
            visit(name)
    rows = dict.fromkeys(reversed(order), 0)
    for name in rows:
        for target in after[name]:
            if (name, target) in forward:
                rows[target] = max(rows[target], rows[name] + 1)
    return _one_a_row(rows)


def _one_a_row(rows: dict[str, int]) -> dict[str, int]:
    """Give each node a row of its own, in order: the picture is a column."""
    return {name: row for row, name in enumerate(sorted(rows, key=lambda name: (name == "__end__", rows[name])))}


def _detour(start: _Point, end: _Point, lane: float) -> list[_Point]:
    """Go out to `lane`, along it, and back in, with rounded corners."""
    side = 1 if lane > start[0] else -1
    down = 1 if end[1] > start[1] else -1
    radius = min(14.0, abs(end[1] - start[1]) / 2)
    corners = [
        ((lane - side * radius, start[1] + down * radius), -math.pi / 2 * down),
        ((lane - side * radius, end[1] - down * radius), 0.0),
    ]
    points = [start]
    for (x, y), begin in corners:
        for step in range(9):
            angle = begin + down * math.pi / 2 * step / 8
            points.append((x + side * radius * math.cos(angle), y + radius * math.sin(angle)))
    return [*points, end]


def _dashes(points: Sequence[_Point], dash: float = 6.0, gap: float = 5.0) -> list[tuple[_Point, _Point]]:
    made: list[tuple[_Point, _Point]] = []
    travelled = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        at = 0.0
        while at < length - 1e-9:
            phase = (travelled + at) % (dash + gap)
            step = min((dash if phase < dash else dash + gap) - phase, length - at)
            if phase < dash:
                a, b = at / length, (at + step) / length
                made.append(((x0 + (x1 - x0) * a, y0 + (y1 - y0) * a), (x0 + (x1 - x0) * b, y0 + (y1 - y0) * b)))
            at += max(step, 1e-6)
        travelled += length
    return made


def _label(name: str) -> str:
    return name.strip("_").upper() if name.startswith("__") else name
