"""Rate limiting: a token bucket per user, in the memory of this process."""

import math
import time
from collections.abc import Callable
from threading import Lock
from uuid import UUID

from stafett.settings import RateLimitSettings

TOO_MANY_REQUESTS_MESSAGE = "Too many requests. See the Retry-After header."
_MAX_BUCKETS = 10_000


class TooManyRequestsError(Exception):
    """The user may repeat the request after ``retry_after_seconds``."""

    def __init__(self, retry_after_seconds: int, message: str = TOO_MANY_REQUESTS_MESSAGE) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RateLimiter:
    """A bucket per user: it holds ``burst`` tokens, gains ``per_second``, and each request takes one."""

    def __init__(self, settings: RateLimitSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst = settings.per_second, float(settings.burst)
        self._clock = clock
        self._buckets: dict[UUID, tuple[float, float]] = {}
        self._lock = Lock()

    def take_token(self, user_id: UUID) -> None:
        """Take a token for one request; raise ``TooManyRequestsError`` if the bucket is empty."""
        with self._lock:
            now = self._clock()
            level = self._compute_level(user_id, now)
            if level < 1:
                raise TooManyRequestsError(math.ceil((1 - level) / self._rate), self._describe_limit())
            if len(self._buckets) >= _MAX_BUCKETS:
                self._drop_full_buckets(now)
            self._buckets[user_id] = (level - 1, now)

    def __len__(self) -> int:
        """Count the users whose buckets are in memory."""
        return len(self._buckets)

    def _describe_limit(self) -> str:
        return (
            f"The limit is {self._rate:g} requests per second on average, and {self._burst:g} at once. "
            "Wait for the seconds in the Retry-After header."
        )

    def _compute_level(self, user_id: UUID, now: float) -> float:
        level, at = self._buckets.get(user_id, (self._burst, now))
        return min(self._burst, level + (now - at) * self._rate)

    def _drop_full_buckets(self, now: float) -> None:
        """Drop the buckets that are full again: a new bucket starts full, so nothing is lost."""
        self._buckets = {
            user_id: bucket
            for user_id, bucket in self._buckets.items()
            if self._compute_level(user_id, now) < self._burst
        }
