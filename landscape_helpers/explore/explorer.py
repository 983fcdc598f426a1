"""FrameExplorer: small multiples under sliders, live with a kernel and self-contained without one."""

from __future__ import annotations

import base64
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import numpy as np
import traitlets

from .controls import Choice, Control, Cursor
from .one_thread import one_thread
from .page import SCRIPT, STYLE, static_html
from .picture import picture
from .spec import Frame, Layout, Panel, describe

log = logging.getLogger(__name__)

Compute = Callable[..., Frame]


class FrameExplorer(anywidget.AnyWidget):
    """Line charts that follow one or more sliders and menus.

    In a live notebook it is a widget: stored frames show at once, and between them ``compute`` is asked for
    the frame at any value. In a built page the same JavaScript module shows the stored frames alone; with
    JavaScript off there is a picture of the first one shown.

    Args:
        panels: the axes, side by side.
        sliders: one or more sliders or menus.
        frames: one frame for every combination of slider values, in the order of ``itertools.product`` (the
            last slider turns fastest).
        initial: the index of the value shown first, one per slider; by default the middle of each.
        caption: shown below.
        alt: what the figure shows, in a sentence or two, for those who do not see it.
        compute: ``compute(value, ...) -> Frame``, called with one value per slider when a reader with a
            kernel stops between stored values. What it raises is shown in the explorer and kept in
            ``last_error``.
        cursor: a place along the curves that a reader can play through.

    Raises:
        ValueError: no panels, sliders or frames, a number of frames that does not fit the sliders, a frame
            whose curves do not fit the panels, an empty ``alt``, a cursor along no panel's axis; all before anything
            is shown.
    """

    _esm = SCRIPT
    _css = STYLE

    spec = traitlets.Dict().tag(sync=True)
    frames = traitlets.Bytes().tag(sync=True)
    notes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    position = traitlets.List(traitlets.Float()).tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    live = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        panels: Sequence[Panel],
        sliders: Sequence[Control],
        frames: Sequence[Frame],
        *,
        alt: str,
        initial: Sequence[int] | None = None,
        caption: str = "",
        compute: Compute | None = None,
        cursor: Cursor | None = None,
    ) -> None:
        self._panels, self._sliders = tuple(panels), tuple(sliders)
        _check(self._panels, self._sliders, frames, alt, cursor)
        self._layout = Layout(self._panels)
        self._compute = compute
        self._latest: dict[str, int] = {}
        self.last_error: Exception | None = None
        rows = np.stack([self._layout.pack(frame) for frame in frames])
        position = [len(s.values) // 2 for s in self._sliders] if initial is None else list(initial)
        self._initial = self._index(position)
        super().__init__(
            spec=describe(self._panels, self._sliders, rows, cursor),
            frames=rows.astype("<f4").tobytes(),
            notes=[frame.note for frame in frames],
            position=[float(p) for p in position],
            caption=caption,
            alt=alt,
            live=compute is not None,
        )
        self.on_msg(self._answer)

    def frame(self, *position: int) -> Frame:
        """The stored frame at a position, one index per slider, in float32 as the page has it."""
        index = self._index(position)
        rows = np.frombuffer(self.frames, dtype="<f4").reshape(len(self.notes), -1)
        return self._layout.unpack(rows[index], self.notes[index])

    def png(self) -> bytes:
        """The frame shown first, as a picture."""
        position = np.unravel_index(self._initial, [len(s.values) for s in self._sliders])
        heading = ",  ".join(
            f"{s.label} = {s.text(float(s.values[int(p)]))}" for s, p in zip(self._sliders, position, strict=True)
        )
        frame = self.frame(*(int(p) for p in position))
        limits = [
            (frame.limits[p["title"]][:2], frame.limits[p["title"]][2:])
            if p["limits_at"] is not None
            else (p["x_range"], p["y_range"])
            for p in self.spec["panels"]
        ]
        return picture(self._panels, limits, frame, heading)

    def html(self) -> str:
        """The explorer for a page without a kernel, in one piece: state, script, style and picture."""
        return self._static(self.png())

    def _static(self, png: bytes) -> str:
        position = np.unravel_index(self._initial, [len(s.values) for s in self._sliders])
        state = {
            "spec": self.spec,
            "notes": self.notes,
            "position": [int(p) for p in position],
            "caption": self.caption,
            "alt": self.alt,
        }
        return static_html(state, self.frames, png, self.alt)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget for a live notebook, HTML for the built book, and a PNG for everything else."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        png = self.png()
        extra = {
            "text/html": self._static(png),
            "image/png": base64.b64encode(png).decode(),
            "text/plain": self.alt,
        }
        return {**data, **extra}, metadata

    def _index(self, position: Sequence[int]) -> int:
        counts = [len(s.values) for s in self._sliders]
        if len(position) != len(counts) or any(not 0 <= p < n for p, n in zip(position, counts, strict=True)):
            raise ValueError(f"a position must hold one index per slider, below {counts}, got {list(position)}")
        return int(np.ravel_multi_index([int(p) for p in position], counts))

    @traitlets.validate("position")
    def _position_on_the_sliders(self, proposal: Any) -> list[float]:
        position = list(proposal["value"])
        ends = [len(s.values) - 1 for s in self._sliders]
        if len(position) != len(ends) or any(not 0 <= p <= e for p, e in zip(position, ends, strict=True)):
            raise traitlets.TraitError(f"position must hold one number per slider, from 0 to {ends}, got {position}")
        for control, p in zip(self._sliders, position, strict=True):
            if isinstance(control, Choice) and p != int(p):
                raise traitlets.TraitError(f"menu {control.label!r} needs a whole number as its position, got {p}")
        return position

    def _answer(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Compute the frame a view asks for, unless that view has asked for a later one already."""
        if not isinstance(content, dict) or content.get("kind") != "frame":
            return
        view, number = str(content["view"]), int(content["id"])
        if number <= self._latest.get(view, 0):
            return
        self._latest[view] = number
        reply = {"view": view, "id": number}
        try:
            if self._compute is None:
                raise RuntimeError("this explorer has stored frames only: give it compute= to go between them")
            values = [float(v) for v in content["values"]]
            frame = one_thread(self._compute)(*values)
            row = self._layout.pack(frame)
        except Exception as error:  # whatever the caller's function raises belongs in front of the reader
            self.last_error = error
            log.exception("an explorer's compute failed")
            self.send({**reply, "kind": "error", "message": f"{type(error).__name__}: {error}"})
            return
        self.last_error = None
        self.send({**reply, "kind": "frame", "note": frame.note}, buffers=[row.astype("<f4").tobytes()])


def grid(sliders: Sequence[Control]) -> list[tuple[float, ...]]:
    """Every combination of slider values, in the order in which an explorer wants its frames."""
    return [tuple(float(v) for v in values) for values in itertools.product(*(s.values for s in sliders))]


def _check(
    panels: Sequence[Panel], sliders: Sequence[Control], frames: Sequence[Frame], alt: str, cursor: Cursor | None
) -> None:
    if not panels:
        raise ValueError("an explorer needs at least one panel, got none")
    if not sliders:
        raise ValueError("an explorer needs at least one slider, got none")
    expected = int(np.prod([len(s.values) for s in sliders]))
    if len(frames) != expected:
        raise ValueError(f"an explorer needs a frame per combination of slider values, {expected}, got {len(frames)}")
    if not alt.strip():
        raise ValueError("alt must say what the figure shows, for readers who do not see it: got an empty text")
    if cursor is not None and cursor.label not in (names := [panel.x_label for panel in panels]):
        raise ValueError(
            f"a cursor must run along the horizontal axis of a panel, one of {names}, got {cursor.label!r}"
        )
