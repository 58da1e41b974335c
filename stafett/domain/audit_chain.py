"""Results of verifying and signing an organisation's audit chain."""

from stafett.domain.fields import UtcDatetime
from stafett.domain.frozen import PayloadModel


class BrokenRecord(PayloadModel):
    """The first event of a chain that is missing or was changed, and the reason."""

    org_id: str
    seq: int
    reason: str

    @property
    def message(self) -> str:
        return f"Event {self.seq} of {self.org_id}: {self.reason}."


class DeclaredRestore(PayloadModel):
    """Events that a restore of the database has lost, as a signed declaration names them."""

    org_id: str
    first_lost_seq: int
    last_lost_seq: int
    declared_at: UtcDatetime

    @property
    def message(self) -> str:
        return (
            f"Events {self.first_lost_seq} to {self.last_lost_seq} of {self.org_id} were lost by a restore, "
            f"declared at {self.declared_at:%Y-%m-%dT%H:%M:%SZ}."
        )


class VerificationReport(PayloadModel):
    """Result of verifying the whole chains that were due."""

    verified: int = 0
    broken_records: tuple[BrokenRecord, ...] = ()


class CheckpointReport(PayloadModel):
    """Result of signing the chains. A broken chain is never signed and does not block the others."""

    written: int = 0
    unchanged: int = 0
    broken_records: tuple[BrokenRecord, ...] = ()
