"""Development data and development tokens."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn

from stafett.cli.local_settings import load_settings
from stafett.cli.options import DataDirOption, OrgOption
from stafett.cli.terminal import make_progress_bar
from stafett.domain.errors import SettingsError
from stafett.domain.membership import Role
from stafett.settings import require_setting


def seed(
    org: OrgOption,
    activities: Annotated[int, typer.Option(min=0, max=10_000_000, help="How many activities to add.")],
    year: Annotated[int, typer.Option(min=1900, max=2199, help="The year they happen in.")],
    attachments: Annotated[int, typer.Option(min=0, help="How many of them carry an attachment.")] = 0,
    mentors: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="How many peer mentors to add.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same rows.")] = 1,
    data_dir: DataDirOption = None,
) -> None:
    """Add believable activities and peer mentors to an organisation."""
    from stafett.seed.insertion import SeedRequest
    from stafett.seed.insertion import insert_seed_data as sow
    from stafett.storage.files import FileStorage

    settings = load_settings(data_dir)
    wanted = SeedRequest(
        org_id=org, activities=activities, year=year, attachments=attachments, mentors=mentors, seed=seed
    )
    owner_url = require_setting(settings.database.owner_url, "STAFETT_DATABASE__OWNER_URL")
    with make_progress_bar("{task.description}", BarColumn(), MofNCompleteColumn()) as shown:
        task = shown.add_task(f"Seeding {org}", total=activities)
        report = sow(
            wanted,
            owner_url,
            FileStorage(settings.s3),
            lambda done, total: shown.update(task, completed=done, total=total),
        )
    if report.already_seeded:
        typer.echo(f"{org} has these activities already: the same seed gives the same rows.")
    else:
        typer.echo(
            f"{org} has {report.activities} more activities of {report.mentors} more peer mentors,"
            f" and {report.attachments} more attachments."
        )


def token(
    user: Annotated[str, typer.Option("--user", help="Whose token, by e-mail address.")],
    role: Annotated[Role, typer.Option("--role", help="The role it claims; the database has the last word.")],
    org: Annotated[str | None, typer.Option("--org", help="The organisation they are at work for.")] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Print a bearer token of the development issuer."""
    typer.echo(issue_development_token(data_dir, user, org, role))


def issue_development_token(data_dir: Path | None, user: str, org: str | None, role: str) -> str:
    from stafett.devstack.issuer import DevIssuer
    from stafett.seed.organisations import dev_user_id

    if data_dir is None:
        raise SettingsError("A development token is made from a development stack's folder: say which with --data-dir.")
    return DevIssuer(data_dir).create_token(dev_user_id(user), org, role)
