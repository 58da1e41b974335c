"""The token bucket of each user: a burst at once, and a steady rate over time."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rate_limit import RateLimiter, TooManyRequestsError
from stafett.settings import RateLimitSettings

KARI, OLA = uuid4(), uuid4()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def create_limiter(clock: Clock, per_second: float = 2, burst: int = 3) -> RateLimiter:
    return RateLimiter(RateLimitSettings(per_second=per_second, burst=burst), clock)


def test_request_after_a_burst_is_rejected_for_that_user_only() -> None:
    limiter = create_limiter(Clock())
    for _ in range(3):
        limiter.take_token(KARI)
    with pytest.raises(TooManyRequestsError) as rejected:
        limiter.take_token(KARI)
    assert rejected.value.retry_after_seconds == 1
    assert "2 requests per second on average, and 3 at once" in str(rejected.value)
    limiter.take_token(OLA)


def test_request_after_the_retry_interval_is_accepted() -> None:
    clock = Clock()
    limiter = create_limiter(clock, per_second=0.2, burst=1)
    limiter.take_token(KARI)
    with pytest.raises(TooManyRequestsError) as rejected:
        limiter.take_token(KARI)
    assert rejected.value.retry_after_seconds == 5
    clock.now += rejected.value.retry_after_seconds
    limiter.take_token(KARI)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_every_request_pattern_stays_within_burst_and_rate(pauses: list[float]) -> None:
    clock = Clock()
    limiter, accepted = create_limiter(clock), 0
    for pause in pauses:
        clock.now += pause
        try:
            limiter.take_token(KARI)
        except TooManyRequestsError:
            continue
        accepted += 1
    assert accepted <= 3 + clock.now * 2 + 1e-6


def test_full_buckets_are_removed() -> None:
    clock = Clock()
    limiter = create_limiter(clock)
    for _ in range(10_000):
        limiter.take_token(uuid4())
    clock.now += 10
    limiter.take_token(KARI)
    assert len(limiter) == 1
