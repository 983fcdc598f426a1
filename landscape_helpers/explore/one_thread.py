"""One thread for networks that are retrained while a reader waits."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import threadpool_limits

P = ParamSpec("P")
R = TypeVar("R")


def one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """The function, computing on one thread whatever the libraries below it would take.

    A step of an explorer's network takes a fraction of a millisecond. Handing parts of it to other threads costs more
    than it saves: on two cores a move of a slider takes ten times as long, and longer still beside other work. PyTorch
    and the BLAS under NumPy each start as many threads as there are cores; both are held back, and let go afterwards.
    """

    @wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        # Asked for at the call and not before: only libraries that are loaded by then are held.
        with threadpool_limits(limits=1):
            return function(*args, **kwargs)

    return alone
