import asyncio
from datetime import timedelta

from api.readiness import Probe

_SHORT, _LONG = timedelta(milliseconds=5), timedelta(seconds=30)


class Part:
    """Something that is asked whether it is there, and answers when the test lets it."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.is_broken = False

    async def ask(self) -> None:
        self.asked += 1
        self.is_asked.set()
        await self.answers.wait()
        if self.is_broken:
            raise RuntimeError("broken")


async def test_a_part_that_hangs_is_away_and_is_asked_once_by_however_many() -> None:
    part = Part()
    probe = Probe(part.ask, _SHORT)
    assert set(await asyncio.gather(*(probe.check() for _ in range(50)))) == {"away"}
    assert await probe.check() == "away"
    assert part.asked == 1
    part.answers.set()


async def test_a_part_that_answers_again_is_asked_again() -> None:
    part = Part()
    hanging = Probe(part.ask, _SHORT)
    assert await hanging.check() == "away"
    part.answers.set()
    assert await hanging.check() == "ok"
    assert await hanging.check() == "ok"
    assert part.asked == 2


async def test_whoever_asks_meanwhile_hears_the_same_answer() -> None:
    part = Part()
    probe = Probe(part.ask, _LONG)
    waiting = [asyncio.ensure_future(probe.check()) for _ in range(2)]
    part.answers.set()
    assert await asyncio.gather(*waiting) == ["ok", "ok"]
    assert part.asked == 1


async def test_a_part_that_refuses_is_away() -> None:
    part = Part()
    part.answers.set()
    part.is_broken = True
    assert await Probe(part.ask, _LONG).check() == "away"


async def test_somebody_who_goes_away_takes_nobody_elses_answer_with_them() -> None:
    part = Part()
    probe = Probe(part.ask, _LONG)
    impatient, patient = asyncio.ensure_future(probe.check()), asyncio.ensure_future(probe.check())
    await part.is_asked.wait()
    impatient.cancel()
    part.answers.set()
    assert await patient == "ok"
