"""The one progress bar of a job over all of its stages."""

from typing import Any

import pytest

from stafett.cli import execute
from stafett.cli.client import ApiClient
from stafett.cli.watch import WatchInterruptedError, measure_progress, watch_job
from stafett.domain.export_status import EXPORT_STAGES
from stafett.domain.reexport_status import ReexportStatus


def build_export(stage: str, done: int = 0, total: int = 0, **fields: object) -> dict[str, Any]:
    progress = {"stage": stage, "done": done, "total": total, "waiting_for": None}
    return {"org_id": "nhf", "status": stage, "progress": progress, "include_attachments": True} | fields


def test_bar_grows_over_all_stages_of_an_export() -> None:
    jobs = [build_export(stage, done, 100) for stage in EXPORT_STAGES for done in (0, 50, 100)]
    fractions = [measure_progress(job).fraction for job in jobs]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)


def test_export_without_attachments_has_no_stage_for_them() -> None:
    fractions = [
        measure_progress(build_export("storing_file", include_attachments=has_attachments)).fraction
        for has_attachments in (True, False)
    ]
    assert fractions == [4 / 6, 3 / 5]


def test_reexport_continues_after_its_export() -> None:
    job = build_export("recording_audit", 1, 1, report_id="1", overrides={})
    steps = [job | {"status": status} for status in (ReexportStatus.EXPORTING, "storing_result", "notifying")]
    fractions = [measure_progress(step).fraction for step in steps]
    assert fractions == [6 / 8, 6 / 8, 7 / 8]


def test_batch_counts_items_and_an_export_rows() -> None:
    counts = {"total": 10_000, "pending": 2_500, "registered": 7_500, "failed": 0, "cancelled": 0}
    assert measure_progress({"status": "running", "counts": counts})[:2] == (0.75, "7,500/10,000 items")
    assert measure_progress(build_export("mapping_columns", 2_000, 5_000)).counts == "2,000/5,000 rows"


class _InterruptedClient(ApiClient):
    def __init__(self) -> None:
        """Connect to nothing."""

    def get(self, path: str, query: object = None) -> dict[str, Any]:  # noqa: ARG002 - the client's signature
        raise KeyboardInterrupt


def test_interrupted_watch_explains_how_to_continue() -> None:
    with pytest.raises(WatchInterruptedError, match=r"Interrupted\. Follow it\.") as error:
        watch_job(_InterruptedClient(), "/", quiet=True, hint="Follow it.")
    assert error.value.exit_code == 130


def test_interrupted_command_exits_at_once_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stafett.cli.services.render_openapi", _raise_interrupt)
    assert (execute(["openapi"]), capsys.readouterr().err) == (130, "")


def test_unexpected_error_is_one_sentence_without_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stafett.cli.services.render_openapi", _raise_unexpected)
    assert execute(["openapi"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stafett: Unexpected ZeroDivisionError at ")
    assert "Kari" not in line


def _raise_interrupt() -> str:
    raise KeyboardInterrupt


def _raise_unexpected() -> str:
    raise ZeroDivisionError("Kari Nordmann")
