"""A user's bucket: a burst at once, a steady rate in the long run, and nobody else's."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as some

from api.rate_limit import RateLimiter, TooManyRequestsError
from stafett.settings import RateLimitSettings

KARI, OLA = uuid4(), uuid4()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def limit(clock: Clock, per_second: float = 2, burst: int = 3) -> RateLimiter:
    return RateLimiter(RateLimitSettings(per_second=per_second, burst=burst), clock)


def test_a_burst_passes_and_then_the_next_one_waits() -> None:
    bucket = limit(Clock())
    for _ in range(3):
        bucket.take_token(KARI)
    with pytest.raises(TooManyRequestsError) as refused:
        bucket.take_token(KARI)
    assert refused.value.retry_after_seconds == 1
    bucket.take_token(OLA)


def test_who_waits_as_long_as_was_said_passes() -> None:
    clock = Clock()
    bucket = limit(clock, per_second=0.2, burst=1)
    bucket.take_token(KARI)
    with pytest.raises(TooManyRequestsError) as refused:
        bucket.take_token(KARI)
    assert refused.value.retry_after_seconds == 5
    clock.now += refused.value.retry_after_seconds
    bucket.take_token(KARI)


@given(some.lists(some.floats(0, 3), min_size=1, max_size=200))
def test_for_every_way_of_asking_no_more_pass_than_the_burst_and_the_rate_allow(pauses: list[float]) -> None:
    clock = Clock()
    bucket, passed = limit(clock), 0
    for pause in pauses:
        clock.now += pause
        try:
            bucket.take_token(KARI)
        except TooManyRequestsError:
            continue
        passed += 1
    assert passed <= 3 + clock.now * 2 + 1e-6


def test_buckets_that_are_full_again_are_forgotten() -> None:
    clock = Clock()
    bucket = limit(clock)
    for _ in range(10_000):
        bucket.take_token(uuid4())
    clock.now += 10
    bucket.take_token(KARI)
    assert len(bucket) == 1
