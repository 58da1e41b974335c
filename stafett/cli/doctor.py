"""``stafett doctor``: problems of a set-up, and how to fix them."""

import typer

from stafett.cli.options import DataDirOption, JsonOption
from stafett.cli.terminal import print_json, print_lines


def doctor(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Check this machine, the embedded servers' programs and, with --data-dir, a stack's data directory."""
    from stafett.devstack.doctor.machine import diagnose

    findings = diagnose(data_dir)
    if as_json:
        rows = [{"subject": finding.subject, "ok": finding.ok, "message": finding.message} for finding in findings]
        print_json(rows)
    else:
        for finding in findings:
            print_lines(f"{'ok ' if finding.ok else 'NOT'} {finding.subject}: {finding.message}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
