"""Names for the ids in an organisation's audit trail: members, peer mentors, API keys and activities."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from stafett.database.session import Database
from stafett.domain.membership import Caller

_NAMES_QUERY = text("""
SELECT u.id, u.display_name AS name, CAST(NULL AS timestamptz) AS starts_at
FROM users u JOIN memberships m ON m.user_id = u.id WHERE m.org_id = :org_id AND u.id = ANY(:ids)
UNION ALL
SELECT id, display_name, NULL FROM peer_mentors WHERE org_id = :org_id AND id = ANY(:ids)
UNION ALL
SELECT id, name, NULL FROM api_keys WHERE org_id = :org_id AND id = ANY(:ids)
UNION ALL
SELECT id, activity_type, starts_at FROM activities
WHERE org_id = :org_id AND id = ANY(:ids) AND deleted_at IS NULL
""")


_ACTOR_KINDS = ("user", "api_key")


class SubjectName(NamedTuple):
    """The name of a person or a key, or the type and the start of an activity."""

    name: str
    starts_at: datetime | None


class AuditNames:
    """Finds the names that the caller may read anyway; the audit trail itself has none."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, caller: Caller, ids: Iterable[UUID]) -> Mapping[UUID, SubjectName]:
        """Load the names of these ids. Former members, and what is deleted, have none."""
        if caller.org_id is None:
            return {}
        with self._database.caller_transaction(caller) as session:
            rows = session.execute(_NAMES_QUERY, {"org_id": caller.org_id, "ids": list(ids)}).all()
        return {row.id: SubjectName(row.name, row.starts_at) for row in rows}

    def load_actors(self, caller: Caller, actors: Iterable[str]) -> Mapping[str, str]:
        """Load the names of actors that are members or API keys; parts of the system have none."""
        ids = {actor: actor_id for actor in actors if (actor_id := find_actor_id(actor))}
        names = self.load(caller, set(ids.values()))
        return {actor: names[actor_id].name for actor, actor_id in ids.items() if actor_id in names}


def find_actor_id(actor: str) -> UUID | None:
    """Find the id of a user or an API key in an actor of the audit trail."""
    kind, _, identifier = actor.partition(":")
    try:
        return UUID(identifier) if kind in _ACTOR_KINDS else None
    except ValueError:
        return None
