"""What is wrong with a set-up, and what to do about it."""

import typer

from stafett.cli.options import DataDirOption, JsonOption


def doctor(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Check this machine, the embedded servers' programs and, if named, a stack's folder."""
    import json

    from stafett.devstack.doctor.machine import diagnose

    findings = diagnose(data_dir)
    if as_json:
        typer.echo(json.dumps([{"subject": f.subject, "ok": f.ok, "message": f.message} for f in findings]))
    else:
        for finding in findings:
            typer.echo(f"{'ok ' if finding.ok else 'NOT'} {finding.subject}: {finding.message}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
