"""Previews of the last minutes, for a page that shows one again while nothing has changed."""

from typing import NamedTuple

from stafett.audit import trail as audit_trail
from stafett.column_mapper.versions import MappingVersions
from stafett.database.session import Database
from stafett.domain.export import ExportParameters
from stafett.domain.export_outputs import EffectiveMapping
from stafett.domain.export_preview import Preview, PreviewJob
from stafett.exports.activity_states import ActivityState, StateCache, load_states
from stafett.exports.preview import PREVIEW_LIFETIME, create_audit_entry

_MAX_PREVIEWS = 32
"""Of at most about a megabyte each."""


class PreviewState(NamedTuple):
    """Everything on which a preview depends. It differs after every change of it."""

    org_id: str
    parameters: ExportParameters
    mapping: EffectiveMapping
    activities: ActivityState | None


class RecentPreviews:
    """Remembers previews, in the memory of the process, with the state of what each was built from."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mappings = MappingVersions(database)
        self._cache = StateCache[PreviewState, Preview](_MAX_PREVIEWS, lifetime=PREVIEW_LIFETIME)

    def load_state(self, job: PreviewJob) -> PreviewState:
        """Load the state that a preview would be built from. Raises ``ExportError`` if there is no usable mapping."""
        request, period = job.request, job.request.reporting_period
        with self._database.snapshot(request.org_id) as connection:
            mapping = self._mappings.choose_version(connection, request.org_id, period.first_day, period.last_day)
            states = load_states(connection, request.org_id, [period.first_instant], period.last_instant)
        return PreviewState(request.org_id, request.parameters, mapping, states[0] if states else None)

    def show_again(self, job: PreviewJob, state: PreviewState) -> Preview | None:
        """Return the preview of this state, if there is one, and record in the audit trail that it was shown."""
        preview = self._cache.find(state)
        if preview is not None:
            with self._database.transaction(job.request.org_id, user_id=job.request.requesting_user_id) as session:
                audit_trail.append_audit_event(session, create_audit_entry(job, preview))
        return preview

    def store(self, state: PreviewState, preview: Preview) -> None:
        """Store a preview that was built after the state was loaded, so that it is at least as new."""
        self._cache.store(state, preview)
