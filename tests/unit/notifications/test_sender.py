"""The delays between the attempts at a delivery that its receiver fails."""

from datetime import timedelta
from itertools import accumulate

from stafett.notifications.sender import MAX_FAILURES, backoff_after


def test_backoff_grows_from_seconds_to_twelve_hours() -> None:
    delays = [backoff_after(failures) for failures in range(1, MAX_FAILURES)]
    assert delays[:4] == [timedelta(seconds=seconds) for seconds in (5, 20, 80, 320)]
    assert delays[-1] == timedelta(hours=12)
    assert delays == sorted(delays)


def test_dead_receiver_is_tried_for_almost_three_days() -> None:
    *_, last = accumulate(backoff_after(failures) for failures in range(1, MAX_FAILURES))
    assert timedelta(days=2) < last < timedelta(days=3)
