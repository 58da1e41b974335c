"""Each check of the doctor has a deadline and ends with a finding."""

import threading

from stafett.devstack.doctor import DoctorCheck, run_check


def test_check_that_hangs_is_reported_after_its_deadline() -> None:
    event = threading.Event()

    def hang() -> DoctorCheck:
        event.wait()
        return DoctorCheck("s3", ok=True, message="It answers.")

    (finding,) = run_check("s3", hang, timeout=0.05)
    event.set()
    assert (finding.subject, finding.ok) == ("s3", False)
    assert finding.message == "The check did not finish within 0.05 seconds; restart what it checks."


def test_check_that_fails_is_a_finding_without_the_text_of_the_error() -> None:
    def fail() -> DoctorCheck:
        raise OSError("secret")

    assert run_check("s3", fail) == [DoctorCheck("s3", ok=False, message="The check failed (OSError).")]


def test_check_with_several_findings_reports_all() -> None:
    findings = [DoctorCheck("worker", ok=ok, message="") for ok in (True, False)]
    assert run_check("worker", lambda: iter(findings)) == findings
