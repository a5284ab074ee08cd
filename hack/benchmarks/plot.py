"""Lines and bars in a picture: a small SVG, readable in a browser and in a review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 440, 60, 170, 40, 50
COLORS = ("#1b6ca8", "#d1495b", "#3a7d44", "#8e6c8a", "#e08e45", "#5c6b73", "#a23e48", "#2a9d8f")
TICKS = 5


def write_plot(path: Path, lines: Mapping[str, Points], *, title: str, x: str, y: str) -> None:
    """Write the lines, each with its name at its end. The upright axis begins at 0."""
    everything = [point for points in lines.values() for point in points]
    least_x = min((px for px, _ in everything), default=0.0)
    most_x = max((px for px, _ in everything), default=1.0)
    most_y = max((py for _, py in everything), default=1.0) or 1.0

    def at(px: float, py: float) -> tuple[float, float]:
        across = (WIDTH - LEFT - RIGHT) * (px - least_x) / ((most_x - least_x) or 1.0)
        return LEFT + across, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * py / most_y

    parts = _frame(title, y, most_y)
    parts.append(_text((WIDTH - RIGHT + LEFT) / 2, HEIGHT - 10, x, "middle"))
    for step in range(TICKS + 1):
        tick_x = least_x + (most_x - least_x) * step / TICKS
        parts.append(_text(at(tick_x, 0)[0], HEIGHT - BOTTOM + 18, f"{tick_x:g}", "middle"))
    for color, (name, points) in zip(COLORS * (1 + len(lines) // len(COLORS)), lines.items(), strict=False):
        spots = [at(px, py) for px, py in points]
        path_data = "L".join(f"{px:.1f} {py:.1f}" for px, py in spots)
        parts.append(f'<path d="M{path_data}" fill="none" stroke="{color}" stroke-width="2"/>')
        end_x, end_y = spots[-1]
        parts.append(f'<g fill="{color}">{_text(end_x + 8, end_y + 4, name, "start")}</g>')
    _write(path, parts)


def write_bars(path: Path, groups: Mapping[str, Mapping[str, float]], *, title: str, y: str) -> None:
    """Write bars side by side, group by group, each with its value; bars of one name have one colour."""
    names = list(dict.fromkeys(name for bars in groups.values() for name in bars))
    most = max((value for bars in groups.values() for value in bars.values()), default=1.0) or 1.0
    parts = _frame(title, y, most)
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(groups))
    width = slot / (len(names) + 1)
    for place, (group, bars) in enumerate(groups.items()):
        left = LEFT + place * slot + width / 2
        parts.append(_text(LEFT + (place + 0.5) * slot, HEIGHT - BOTTOM + 18, group, "middle"))
        for name, value in bars.items():
            begin, high = left + names.index(name) * width, (HEIGHT - TOP - BOTTOM) * value / most
            size = f'width="{width * 0.9:.1f}" height="{high:.1f}" fill="{COLORS[names.index(name) % len(COLORS)]}"'
            parts.append(f'<rect x="{begin:.1f}" y="{HEIGHT - BOTTOM - high:.1f}" {size}/>')
            parts.append(_text(begin + width * 0.45, HEIGHT - BOTTOM - high - 4, f"{value:.3g}", "middle"))
    for place, name in enumerate(names):
        color = COLORS[place % len(COLORS)]
        parts.append(f'<g fill="{color}">{_text(WIDTH - RIGHT + 12, TOP + 20 * (place + 1), name, "start")}</g>')
    _write(path, parts)


def _frame(title: str, y: str, most_y: float) -> list[str]:
    """Title, and the upright axis with its lines."""
    parts = [_text(WIDTH / 2, 22, title, anchor="middle")]
    parts.append(f'<g transform="rotate(-90 16 {HEIGHT / 2})">{_text(16, HEIGHT / 2, y, "middle")}</g>')
    for step in range(TICKS + 1):
        low = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * step / TICKS
        parts.append(_text(LEFT - 8, low + 4, f"{most_y * step / TICKS:.3g}", "end"))
        parts.append(f'<path d="M{LEFT} {low:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
    return parts


def _write(path: Path, parts: Sequence[str]) -> None:
    space = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
    head = f'<svg {space} font-family="sans-serif" font-size="13">'
    path.write_text("\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"]))


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
