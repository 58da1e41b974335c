"""What ``stafett doctor`` has to say about one thing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DoctorCheck:
    """``sentence`` says what was found, and the next step when it is not ``ok``."""

    subject: str
    ok: bool
    message: str
