"""Which updates of a run a probe looks at."""

from __future__ import annotations

from collections.abc import Sequence


class Windows:
    """Stretches of consecutive updates; the update t leads from theta_t to theta_(t+1).

    Args:
        windows: (first update, how many) of each, counted from 0; they may overlap.

    Raises:
        ValueError: none at all, a negative first update, or an empty window.
    """

    def __init__(self, windows: Sequence[tuple[int, int]]) -> None:
        self.all = tuple((int(first), int(count)) for first, count in windows)
        if not self.all:
            raise ValueError("windows must name at least one stretch of updates as (first, how many), got none")
        for first, count in self.all:
            if first < 0 or count < 1:
                raise ValueError(
                    f"a window must be (first update, how many) with 0 <= first and at least one update, got "
                    f"({first}, {count})"
                )

    def of(self, update: int) -> int | None:
        """The number of the first window that holds the update, or None."""
        for i, (first, count) in enumerate(self.all):
            if first <= update < first + count:
                return i
        return None
