"""Memory allocator settings, so that a long-running process releases memory after a large export."""

import ctypes
import os

POLARS_ALLOCATOR_VARIABLE = "_RJEM_MALLOC_CONF"
"""Environment variable that Polars' allocator (jemalloc) reads once, when Polars is imported."""

_M_ARENA_MAX = -8  # M_ARENA_MAX in malloc.h


def limit_allocator_arenas(max_arenas: int) -> None:
    """Limit both allocators to `max_arenas` and release unused memory soon; call it before Polars is imported.

    By default Polars' allocator has four arenas per core and the C library eight, and each arena retains the most
    memory that it ever used. Variables that the operator has set take precedence.
    """
    os.environ.setdefault(POLARS_ALLOCATOR_VARIABLE, f"narenas:{max_arenas},dirty_decay_ms:100,muzzy_decay_ms:0")
    if "MALLOC_ARENA_MAX" not in os.environ and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, max(2, max_arenas))
