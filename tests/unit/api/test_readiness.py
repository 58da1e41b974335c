import asyncio
from datetime import timedelta

from api.readiness import Probe

_SHORT, _LONG = timedelta(milliseconds=5), timedelta(seconds=30)


class FakeDependency:
    """A dependency whose health check completes when the test allows it."""

    def __init__(self) -> None:
        self.check_count = 0
        self.check_started = asyncio.Event()
        self.may_complete = asyncio.Event()
        self.is_broken = False

    async def check(self) -> None:
        self.check_count += 1
        self.check_started.set()
        await self.may_complete.wait()
        if self.is_broken:
            raise RuntimeError("broken")


async def test_hanging_dependency_is_unavailable_and_checked_once() -> None:
    dependency = FakeDependency()
    probe = Probe(dependency.check, _SHORT)
    assert set(await asyncio.gather(*(probe.check() for _ in range(50)))) == {"away"}
    assert await probe.check() == "away"
    assert dependency.check_count == 1
    dependency.may_complete.set()


async def test_recovered_dependency_is_checked_again() -> None:
    dependency = FakeDependency()
    hanging = Probe(dependency.check, _SHORT)
    assert await hanging.check() == "away"
    dependency.may_complete.set()
    assert await hanging.check() == "ok"
    assert await hanging.check() == "ok"
    assert dependency.check_count == 2


async def test_concurrent_checks_share_one_result() -> None:
    dependency = FakeDependency()
    probe = Probe(dependency.check, _LONG)
    waiting = [asyncio.ensure_future(probe.check()) for _ in range(2)]
    dependency.may_complete.set()
    assert await asyncio.gather(*waiting) == ["ok", "ok"]
    assert dependency.check_count == 1


async def test_failing_dependency_is_unavailable() -> None:
    dependency = FakeDependency()
    dependency.may_complete.set()
    dependency.is_broken = True
    assert await Probe(dependency.check, _LONG).check() == "away"


async def test_cancelled_check_does_not_cancel_a_concurrent_check() -> None:
    dependency = FakeDependency()
    probe = Probe(dependency.check, _LONG)
    cancelled, remaining = asyncio.ensure_future(probe.check()), asyncio.ensure_future(probe.check())
    await dependency.check_started.wait()
    cancelled.cancel()
    dependency.may_complete.set()
    assert await remaining == "ok"
