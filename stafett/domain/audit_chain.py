"""Results of verifying and signing an organisation's audit chain."""

from stafett.domain.frozen import PayloadModel


class BrokenRecord(PayloadModel):
    """The first event of a chain that is missing or was changed, and the reason."""

    org_id: str
    seq: int
    reason: str

    @property
    def message(self) -> str:
        return f"Event {self.seq} of {self.org_id}: {self.reason}."


class CheckpointReport(PayloadModel):
    """Result of signing the chains. A broken chain is never signed and does not block the others."""

    written: int = 0
    unchanged: int = 0
    broken_records: tuple[BrokenRecord, ...] = ()
