"""What an explorer shows: panels of curves, and the frames that its sliders and menus choose between.

Everything that stays the same while a slider moves (axes, steps, names) lives in panels and controls and
travels once; everything that moves lives in frames, each packed into one row of float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .controls import Control, Cursor, Slider

Limits = tuple[float, float, float, float]
LINES = ("normal", "thin", "none")


@dataclass(frozen=True)
class Series:
    """One curve of a panel.

    Attributes:
        key: its name in :attr:`Frame.curves`, unique in the explorer.
        label: its name in the legend.
        x: the abscissae, the same in every frame; or an integer n for a path of n points whose two
            coordinates both come with the frame. On a panel with moving axes: shares of their width, 0 to 1.
        markers: draw a dot at every point, for quantities measured at a few steps only.
        line: how the points are joined: "normal", "thin", or "none".
    """

    key: str
    label: str
    x: Sequence[float] | np.ndarray | int
    markers: bool = False
    line: str = "normal"

    def __post_init__(self) -> None:
        if self.line not in LINES:
            raise ValueError(f"line of series {self.key!r} must be one of {list(LINES)}, got {self.line!r}")

    @property
    def is_path(self) -> bool:
        return isinstance(self.x, int)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape its values must have in every frame."""
        return (self.x, 2) if isinstance(self.x, int) else (len(self.x),)


@dataclass(frozen=True)
class Reference:
    r"""A line across a panel: fixed when ``value`` is given, else read from each frame by ``key``.

    Horizontal, or ``vertical``; a vertical one at NaN is not drawn. ``faint`` draws it lighter, for a second line
    beside the one that matters. The label may be empty.
    """

    key: str
    label: str = ""
    value: float | None = None
    faint: bool = False
    vertical: bool = False


@dataclass(frozen=True)
class Panel:
    """One set of axes.

    Attributes:
        title: what is drawn.
        x_label, y_label: names of the axes, with units.
        series: the curves, at most five (the palette has five colours that all readers can tell apart).
        y_scale: "linear" or "log".
        x_range, y_range: limits; by default what the precomputed frames need. They stay the same while the
            slider moves, so that curves can be compared; what lies outside is cut off at the frame.
        references: lines across it.
        background: fixed curves (m, 2) behind the others, say the contours a path runs over.
        moving: the limits come with each frame instead, for a view that a slider widens.
        wide: take the whole width, above or below the panels that stand side by side.
        rest: the abscissa whose values stand in the legend while nobody points at another; by default each
            curve's last.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    y_scale: str = "linear"
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    references: Sequence[Reference] = ()
    background: Sequence[ArrayLike] = ()
    moving: bool = False
    wide: bool = False
    rest: float | None = None

    def __post_init__(self) -> None:
        if self.y_scale not in ("linear", "log"):
            raise ValueError(f"y_scale of panel {self.title!r} must be 'linear' or 'log', got {self.y_scale!r}")
        if not 1 <= len(self.series) <= 5:
            raise ValueError(f"panel {self.title!r} must have 1 to 5 series, got {len(self.series)}")
        for name, limits in (("x_range", self.x_range), ("y_range", self.y_range)):
            if limits is not None and not (all(map(math.isfinite, limits)) and limits[0] < limits[1]):
                raise ValueError(f"{name} of panel {self.title!r} must be (low, high), got {limits}")
        if self.y_scale == "log" and self.y_range is not None and self.y_range[0] <= 0:
            raise ValueError(f"y_range of log panel {self.title!r} must be above 0, got {self.y_range}")


@dataclass(frozen=True)
class Frame:
    """What the panels show at one setting of the sliders.

    Attributes:
        curves: values of every series by key: (n,), or (n, 2) for a path. NaN leaves a gap; a curve shorter
            than its series, as of a run that ended early, is filled up with NaN.
        references: places of the moving reference lines by key.
        note: a sentence about this frame, say that and where the run diverged. Of several lines the first stands out.
        limits: of the panels with moving axes, by their title: (left, right, bottom, top).
    """

    curves: Mapping[str, np.ndarray]
    references: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    limits: Mapping[str, Limits] = field(default_factory=dict)


class Layout:
    """Where each series and reference lives in a packed frame."""

    def __init__(self, panels: Sequence[Panel]) -> None:
        self.series: dict[str, tuple[slice, tuple[int, ...]]] = {}
        self.references: dict[str, int] = {}
        self.limits: dict[str, slice] = {}
        at = 0
        for panel in panels:
            for series in panel.series:
                if series.key in self.series:
                    raise ValueError(f"series keys must be unique in an explorer, got {series.key!r} twice")
                size = math.prod(series.shape)
                if size < 1:
                    raise ValueError(f"series {series.key!r} must have at least one point")
                self.series[series.key] = (slice(at, at + size), series.shape)
                at += size
            for reference in panel.references:
                if reference.value is None and reference.key not in self.references:
                    self.references[reference.key] = at
                    at += 1
            if panel.moving:
                if panel.title in self.limits:
                    raise ValueError(f"panels with moving axes need different titles, got {panel.title!r} twice")
                self.limits[panel.title] = slice(at, at + 4)
                at += 4
        self.size = at

    def pack(self, frame: Frame) -> np.ndarray:
        """The frame as a row of float32 (size,)."""
        _same_keys("curves", frame.curves, self.series)
        _same_keys("references", frame.references, self.references)
        _same_keys("limits", frame.limits, self.limits)
        row = np.full(self.size, np.nan, dtype=np.float32)
        with np.errstate(over="ignore"):  # beyond float32 is beyond every axis too
            for key, (where, shape) in self.series.items():
                values = np.asarray(frame.curves[key], dtype=np.float64)
                if values.shape[1:] != shape[1:] or values.ndim != len(shape) or len(values) > shape[0]:
                    raise ValueError(f"curve {key!r} must have shape {shape} (or fewer points), got {values.shape}")
                row[where.start : where.start + values.size] = values.reshape(-1)
            for key, index in self.references.items():
                row[index] = frame.references[key]
            for title, where in self.limits.items():
                left, right, bottom, top = frame.limits[title]
                if not (left < right and bottom < top and all(map(math.isfinite, frame.limits[title]))):
                    raise ValueError(f"limits of panel {title!r} must ascend, got {frame.limits[title]}")
                row[where] = frame.limits[title]
        return row

    def unpack(self, row: np.ndarray, note: str = "") -> Frame:
        """The frame a row was packed from, as float32."""
        curves = {key: row[where].reshape(shape) for key, (where, shape) in self.series.items()}
        references = {key: float(row[index]) for key, index in self.references.items()}
        limits = {title: _limits_of(row[where]) for title, where in self.limits.items()}
        return Frame(curves, references, note, limits)


def describe(
    panels: Sequence[Panel], sliders: Sequence[Control], rows: np.ndarray, cursor: Cursor | None = None
) -> dict[str, Any]:
    """Panels and controls as JSON-safe data, with every axis limit filled in."""
    layout = Layout(panels)
    return {
        "size": layout.size,
        "panels": [_panel(panel, layout, rows) for panel in panels],
        "sliders": [_control(control) for control in sliders],
        "cursor": None if cursor is None else asdict(cursor),
    }


def _control(control: Control) -> dict[str, Any]:
    if not isinstance(control, Slider):
        return {"label": control.label, "options": list(control.options)}
    return {
        "label": control.label,
        "values": [float(v) for v in control.values],
        "format": control.format,
        "scale": control.scale,
        "bands": [[b.label, float(b.first), float(b.last)] for b in control.bands],
    }


def _panel(panel: Panel, layout: Layout, rows: np.ndarray) -> dict[str, Any]:
    series = []
    for s in panel.series:
        where, _ = layout.series[s.key]
        x = None if isinstance(s.x, int) else [float(v) for v in s.x]
        place = {"at": where.start, "end": where.stop}
        series.append({"label": s.label, "x": x, "markers": s.markers, "line": s.line, **place})
    limits = layout.limits.get(panel.title)
    return {
        "title": panel.title,
        "x_label": panel.x_label,
        "y_label": panel.y_label,
        "y_scale": panel.y_scale,
        "x_range": [float(v) for v in panel.x_range or _limits(panel, layout, rows, axis=0)],
        "y_range": [float(v) for v in panel.y_range or _limits(panel, layout, rows, axis=1)],
        "series": series,
        "references": [
            {
                "label": r.label,
                "faint": r.faint,
                "vertical": r.vertical,
                "value": r.value,
                "at": layout.references.get(r.key),
            }
            for r in panel.references
        ],
        "limits_at": None if limits is None else limits.start,
        "rest": panel.rest,
        "wide": panel.wide,
        "background": [[[round(float(v), 4) for v in p] for p in np.asarray(b)] for b in panel.background],
    }


def _limits(panel: Panel, layout: Layout, rows: np.ndarray, axis: int) -> tuple[float, float]:
    """What all precomputed frames need on an axis, with a little air above and below."""
    parts = [np.asarray(b, dtype=float)[:, axis] for b in panel.background]
    for s in panel.series:
        where, shape = layout.series[s.key]
        if isinstance(s.x, int):
            parts.append(rows[:, where].reshape(-1, *shape)[..., axis].ravel())
        else:
            parts.append(np.asarray(s.x, dtype=float) if axis == 0 else rows[:, where].ravel())
    values = np.concatenate(parts).astype(float)
    log = axis == 1 and panel.y_scale == "log"
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not len(values):
        return (0.1, 1.0)
    low, high = float(values.min()), float(values.max())
    if log:
        return (low / 1.2, high * 1.2)
    if axis == 0 and low < high:
        return (low, high)
    air = 0.05 * (high - low) or 0.5
    return (low - air, high + air)


def _limits_of(values: np.ndarray) -> Limits:
    left, right, bottom, top = (float(v) for v in values)
    return left, right, bottom, top


def _same_keys(what: str, given: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if set(given) != set(wanted):
        raise ValueError(f"a frame's {what} must be {sorted(wanted)}, got {sorted(given)}")
