"""Explorers compute on one thread and give the others back."""

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from landscape_helpers.explore import Frame, FrameExplorer, Panel, Series, Slider
from landscape_helpers.explore.one_thread import one_thread


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info()}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(limits=2):
        assert threads() == {2}
        yield


def test_a_function_runs_on_one_thread_and_leaves_two():
    @one_thread
    def inside(*, doubled: int) -> tuple[set[int], int]:
        """What it says."""
        return threads(), 2 * doubled

    assert inside(doubled=4) == ({1}, 8)
    assert inside.__doc__ == "What it says."
    assert threads() == {2}


def test_an_error_gives_the_threads_back():
    with pytest.raises(ZeroDivisionError):
        one_thread(lambda: 1 / 0)()
    assert threads() == {2}


def test_a_live_frame_is_computed_on_one_thread():
    seen = []

    def compute(rate: float) -> Frame:
        seen.append(threads())
        return Frame({"a": [rate, rate]}, {})

    slider = Slider("rate", [1.0, 2.0])
    panel = Panel("Rate", "step", "rate", [Series("a", "rate", [0, 1])])
    explorer = FrameExplorer([panel], [slider], [compute(v) for v in slider.values], alt="rates", compute=compute)
    del seen[:]
    explorer._answer(explorer, {"kind": "frame", "view": "v", "id": 1, "values": [1.5]}, [])
    assert explorer.last_error is None
    assert seen == [{1}]
    assert threads() == {2}
