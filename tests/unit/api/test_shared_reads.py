"""A read that concurrent callers share, and which is never older than the call."""

import asyncio
from collections.abc import Sequence

from api.shared_reads import BatchedRead, SharedRead


class _Counter:
    """A read that counts its runs; each waits for the test."""

    def __init__(self) -> None:
        self.runs = 0
        self.has_started = asyncio.Event()
        self.may_finish = asyncio.Event()

    async def read(self) -> int:
        self.runs += 1
        self.has_started.set()
        run = self.runs
        await self.may_finish.wait()
        return run


async def test_callers_of_the_same_moment_share_one_read() -> None:
    counter = _Counter()
    counter.may_finish.set()
    read = SharedRead(counter.read)
    assert await asyncio.gather(*(read.get() for _ in range(100))) == [1] * 100


async def test_caller_during_a_read_gets_the_result_of_the_next_one() -> None:
    counter = _Counter()
    read = SharedRead(counter.read)
    first = asyncio.create_task(read.get())
    await counter.has_started.wait()
    later = [asyncio.create_task(read.get()) for _ in range(100)]
    await asyncio.sleep(0)
    counter.may_finish.set()
    assert [await first, *await asyncio.gather(*later)] == [1, *[2] * 100]


async def test_cancelled_caller_leaves_the_read_to_the_others() -> None:
    counter = _Counter()
    read = SharedRead(counter.read)
    cancelled, other = asyncio.create_task(read.get()), asyncio.create_task(read.get())
    await asyncio.sleep(0)
    cancelled.cancel()
    counter.may_finish.set()
    assert await other == 1


async def test_error_reaches_every_caller_and_the_next_call_reads_again() -> None:
    results: list[LookupError | int] = [LookupError(), 7]

    async def read_or_fail() -> int:
        result = results.pop(0)
        if isinstance(result, LookupError):
            raise result
        return result

    read = SharedRead(read_or_fail)
    outcomes = await asyncio.gather(*(read.get() for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LookupError] * 3
    assert await read.get() == 7


async def test_keys_of_the_same_moment_share_one_read_and_get_their_own_values() -> None:
    batches: list[Sequence[int]] = []

    async def square(keys: Sequence[int]) -> Sequence[int]:
        batches.append(keys)
        return [key * key for key in keys]

    read = BatchedRead(square)
    assert await asyncio.gather(*(read.get(key) for key in (3, 1, 3, 2))) == [9, 1, 9, 4]
    assert batches == [(3, 1, 2)]
    assert await read.get(1) == 1
    assert batches == [(3, 1, 2), (1,)]


async def test_read_that_hangs_delays_only_its_own_callers() -> None:
    has_started, may_finish = asyncio.Event(), asyncio.Event()

    async def read_keys(keys: Sequence[str]) -> Sequence[str]:
        if "hanging" in keys:
            has_started.set()
            await may_finish.wait()
        return keys

    read = BatchedRead(read_keys, max_wait_seconds=0.01)
    hanging = asyncio.create_task(read.get("hanging"))
    await has_started.wait()
    assert await asyncio.gather(*(read.get(key) for key in ("one", "two"))) == ["one", "two"]
    assert not hanging.done()
    may_finish.set()
    assert await hanging == "hanging"
