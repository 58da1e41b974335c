"""How a process that runs for months gives back what one large export needed."""

import ctypes
import os

POLARS_ALLOCATOR_VARIABLE = "_RJEM_MALLOC_CONF"
"""Where Polars' allocator looks, once, when Polars is imported."""

_M_ARENA_MAX = -8  # M_ARENA_MAX in malloc.h


def limit_allocator_arenas(max_arenas: int) -> None:
    """Before Polars is imported: one arena a thread that computes, and soon nothing in it that nobody uses.

    Left to themselves, Polars' allocator has four a core and the C library eight, and each holds on to the most that it
    was ever asked for. What an operator has set for either stays as it is.
    """
    os.environ.setdefault(POLARS_ALLOCATOR_VARIABLE, f"narenas:{max_arenas},dirty_decay_ms:100,muzzy_decay_ms:0")
    if "MALLOC_ARENA_MAX" not in os.environ and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, max(2, max_arenas))
