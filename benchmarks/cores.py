"""Separate cores for the measuring clients and for the stack, where the machine has more than one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """The cores of the clients and of the stack, or the same for both."""

    clients: frozenset[int]
    stack: frozenset[int]

    @classmethod
    def from_machine(cls) -> "Cores":
        if not hasattr(os, "sched_setaffinity"):
            return cls(frozenset(), frozenset())
        first, *others = sorted(os.sched_getaffinity(0))
        return cls(frozenset([first]), frozenset(others)) if others else cls(frozenset([first]), frozenset([first]))

    @property
    def are_separate(self) -> bool:
        return not self.clients & self.stack and bool(self.stack)

    def __str__(self) -> str:
        if not self.are_separate:
            return "The clients and the stack share the machine's cores."
        clients, stack = (" and ".join(map(str, sorted(cores))) for cores in (self.clients, self.stack))
        return f"The clients run on core {clients}, and the API with all its servers on core {stack}."


@contextmanager
def run_on(cores: frozenset[int]) -> Iterator[None]:
    """Run the block on these cores; the processes that it starts stay on them."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
