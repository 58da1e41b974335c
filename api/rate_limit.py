"""How often somebody may ask: a bucket of requests for each user, filled at a steady rate, in this process's memory."""

import math
import time
from collections.abc import Callable
from threading import Lock
from uuid import UUID

from stafett.settings import RateLimitSettings

_MAX_BUCKETS = 10_000


class TooManyRequestsError(Exception):
    """The user's bucket is empty, for so many seconds."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("Too many requests; ask again in a while.")
        self.retry_after_seconds = retry_after_seconds


class RateLimiter:
    """A user's bucket holds a burst, and a request takes one out."""

    def __init__(self, settings: RateLimitSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst = settings.per_second, float(settings.burst)
        self._clock = clock
        self._buckets: dict[UUID, tuple[float, float]] = {}
        self._lock = Lock()

    def take_token(self, user_id: UUID) -> None:
        """Let the request pass, or say when the next one may."""
        with self._lock:
            now = self._clock()
            level = self._level(user_id, now)
            if level < 1:
                raise TooManyRequestsError(math.ceil((1 - level) / self._rate))
            if len(self._buckets) >= _MAX_BUCKETS:
                self._drop_full_buckets(now)
            self._buckets[user_id] = (level - 1, now)

    def __len__(self) -> int:
        """How many users are kept in mind."""
        return len(self._buckets)

    def _level(self, user_id: UUID, now: float) -> float:
        level, at = self._buckets.get(user_id, (self._burst, now))
        return min(self._burst, level + (now - at) * self._rate)

    def _drop_full_buckets(self, now: float) -> None:
        """A bucket that is full again is as one that never was."""
        self._buckets = {user: kept for user, kept in self._buckets.items() if self._level(user, now) < self._burst}
