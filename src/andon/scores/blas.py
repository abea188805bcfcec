"""Whole pieces of work side by side, each with matrix products on one thread.

Pieces in parallel are a quarter faster and more than matrix products that are parallel inside, with serial steps between.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from ctypes import CDLL, c_int
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np

__all__ = ["in_parallel", "one_blas_thread", "threads_of_blas"]

_WORKERS_MAX = 16

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_lock = Lock()
_users = 0
_before = 1


def in_parallel(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """``work(item)`` of every item, in the order of the items, on as many threads as BLAS has.

    At most that many results wait for whoever takes them, so that memory does not grow with the number of items.
    """
    with one_blas_thread() as workers, ThreadPoolExecutor(workers, "andon") as pool:
        waiting: deque[Future[_Result]] = deque()
        try:
            for item in items:
                if len(waiting) > workers:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(work, item))
            while waiting:
                yield waiting.popleft().result()
        finally:  # whoever takes the results may stop early
            for future in waiting:
                future.cancel()


@contextmanager
def one_blas_thread() -> Iterator[int]:
    """Give as many workers as BLAS had threads, and BLAS one thread in each.

    It is a setting of the process, so it is counted and given back. With a BLAS that is not NumPy's own: one worker.
    """
    global _users, _before  # noqa: PLW0603
    blas = threads_of_blas()
    if blas is None:
        yield 1
        return
    get, put = blas
    with _lock:
        if _users == 0:
            _before = max(1, get())
            put(1)
        _users += 1
        workers = min(_before, _WORKERS_MAX)
    try:
        yield workers
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                put(_before)


@cache
def threads_of_blas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """How to read and set the threads of the OpenBLAS that NumPy's wheels carry; None where it is another."""
    package = Path(np.__file__).parent
    for path in [*package.parent.glob("numpy.libs/*openblas*"), *package.glob(".dylibs/*openblas*")]:
        try:
            library = CDLL(str(path))  # already loaded by NumPy: this finds it again
            get, put = library.scipy_openblas_get_num_threads64_, library.scipy_openblas_set_num_threads64_
        except (OSError, AttributeError):
            continue
        get.restype, put.argtypes, put.restype = c_int, [c_int], None
        return get, put
    return None
