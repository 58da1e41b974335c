"""``stafett doctor``: problems of a set-up, and how to fix them."""

import typer

from stafett.cli.options import DataDirOption, JsonOption


def doctor(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Check this machine, the embedded servers' programs and, with --data-dir, a stack's data directory."""
    import json

    from stafett.devstack.doctor.machine import diagnose

    findings = diagnose(data_dir)
    if as_json:
        rows = [{"subject": finding.subject, "ok": finding.ok, "message": finding.message} for finding in findings]
        typer.echo(json.dumps(rows))
    else:
        for finding in findings:
            typer.echo(f"{'ok ' if finding.ok else 'NOT'} {finding.subject}: {finding.message}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
