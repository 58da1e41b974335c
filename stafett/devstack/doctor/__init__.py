"""The checks of ``stafett doctor``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DoctorCheck:
    """A check's result; ``message`` states what was found and, if not ``ok``, the next step."""

    subject: str
    ok: bool
    message: str
