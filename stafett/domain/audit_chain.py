"""An organisation's audit trail as an auditor sees it: a chain that is whole, or the first record that is not."""

from stafett.domain.frozen import FrozenModel


class BrokenRecord(FrozenModel):
    """The first event of a chain that is not as it was written, and what is wrong with it."""

    org_id: str
    seq: int
    reason: str

    @property
    def message(self) -> str:
        return f"Event {self.seq} of {self.org_id}: {self.reason}."


class CheckpointReport(FrozenModel):
    """What became of the chains: a broken one is never signed, and holds up no other."""

    written: int = 0
    unchanged: int = 0
    broken_records: tuple[BrokenRecord, ...] = ()
