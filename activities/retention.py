from temporalio import activity

from stafett.domain.export_job import RetentionReport
from stafett.exports.retention import Retention


class RetentionActivities:
    """Removes what is kept no longer."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention

    @activity.defn(no_thread_cancel_exception=True)
    def apply_retention(self) -> RetentionReport:
        return self._retention.apply()
