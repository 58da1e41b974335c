"""States of activities, which differ after every change of what a mapping reads, and results remembered for them."""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta
from math import inf
from threading import Lock
from time import monotonic
from typing import Generic, LiteralString, NamedTuple, TypeVar

from stafett.database.connection import DeadlineConnection

_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")

# The id of the transaction that wrote a row (xmin) differs after each change of the row, so that the hash of all rows
# with these ids differs after each change of one. Only the number of an activity's attachments is ever mapped.
_STATES_QUERY: LiteralString = """
SELECT width_bucket(a.starts_at, %(first_instants)s), count(*),
       bit_xor(uuid_hash_extended(a.id, (a.xmin::text::bigint << 32) | m.xmin::text::bigint)),
       (SELECT sum(uuid_hash_extended(activity_id, 0)) FROM attachments WHERE org_id = %(org_id)s)
FROM activities a JOIN peer_mentors m ON m.org_id = a.org_id AND m.id = a.mentor_id
WHERE a.org_id = %(org_id)s AND a.deleted_at IS NULL AND a.starts_at BETWEEN %(first)s AND %(last)s
GROUP BY 1 ORDER BY 1
"""


class ActivityState(NamedTuple):
    """The state of an organisation's activities in one part of a period, which is numbered from 0."""

    part: int
    rows: int
    rows_hash: int
    attachments_hash: int


def load_states(
    connection: DeadlineConnection, org_id: str, first_instants: Sequence[datetime], last_instant: datetime
) -> list[ActivityState]:
    """Load the state of each part with activities; each part ends where the next one begins."""
    parameters = {
        "org_id": org_id,
        "first_instants": list(first_instants),
        "first": first_instants[0],
        "last": last_instant,
    }
    rows = connection.execute(_STATES_QUERY, parameters).fetchall()
    return [
        ActivityState(number - 1, count, rows_hash, int(attachments_hash or 0))
        for number, count, rows_hash, attachments_hash in rows
    ]


class StateCache(Generic[_Key, _Result]):
    """The results for the states that were used last. Requests use it in several threads."""

    def __init__(self, max_results: int, *, lifetime: timedelta | None = None) -> None:
        self._max_results = max_results
        self._lifetime_seconds = inf if lifetime is None else lifetime.total_seconds()
        self._results = OrderedDict[_Key, tuple[_Result, float]]()
        """With the time at which each was stored, the one that was used last at the end."""
        self._lock = Lock()

    def find(self, state: _Key) -> _Result | None:
        with self._lock:
            self._remove_expired()
            if state not in self._results:
                return None
            self._results.move_to_end(state)
            return self._results[state][0]

    def store(self, state: _Key, result: _Result) -> None:
        with self._lock:
            self._remove_expired()
            self._results[state] = result, monotonic()
            self._results.move_to_end(state)
            if len(self._results) > self._max_results:
                self._results.popitem(last=False)

    def _remove_expired(self) -> None:
        if self._lifetime_seconds == inf:
            return
        oldest = monotonic() - self._lifetime_seconds
        for state in [state for state, (_, stored_at) in self._results.items() if stored_at <= oldest]:
            del self._results[state]
