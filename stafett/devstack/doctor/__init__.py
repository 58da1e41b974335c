"""The checks of ``stafett doctor``."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

CHECK_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class DoctorCheck:
    """A check's result; ``message`` states what was found and, if not ``ok``, the next step."""

    subject: str
    ok: bool
    message: str


Check = Callable[[], "DoctorCheck | Iterable[DoctorCheck]"]


def run_check(subject: str, check: Check, *, timeout: float = CHECK_TIMEOUT_SECONDS) -> Sequence[DoctorCheck]:
    """Run a check in a thread that is abandoned after the timeout, so that a hanging server delays no other check."""
    results = list[DoctorCheck]()

    def collect() -> None:
        try:
            result = check()
            results.extend([result] if isinstance(result, DoctorCheck) else result)
        except Exception as error:  # noqa: BLE001 - a check that fails is a finding
            results.append(DoctorCheck(subject, ok=False, message=f"The check failed ({type(error).__name__})."))

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        message = f"The check did not finish within {timeout:g} seconds; restart what it checks."
        return [*results, DoctorCheck(subject, ok=False, message=message)]
    return results
