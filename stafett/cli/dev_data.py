"""``stafett seed`` and ``stafett token``: data and tokens for development."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn

from stafett.cli.local_settings import load_settings
from stafett.cli.options import DataDirOption, RequiredOrgOption
from stafett.cli.terminal import make_progress_bar, print_lines
from stafett.domain.errors import SettingsError
from stafett.domain.membership import Role
from stafett.settings import require_setting


def seed(
    org: RequiredOrgOption,
    activities: Annotated[int, typer.Option(min=0, max=10_000_000, help="Number of activities to add.")],
    year: Annotated[int, typer.Option(min=1900, max=2199, help="Year of the activities.")],
    attachments: Annotated[int, typer.Option(min=0, help="Number of activities with an attachment.")] = 0,
    mentors: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="Number of peer mentors to add.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed: the same seed gives the same rows.")] = 1,
    data_dir: DataDirOption = None,
) -> None:
    """Add generated activities and peer mentors to an organisation."""
    from stafett.seed.insertion import SeedRequest, insert_seed_data
    from stafett.storage.files import FileStorage

    settings = load_settings(data_dir)
    request = SeedRequest(
        org_id=org, activities=activities, year=year, attachments=attachments, mentors=mentors, seed=seed
    )
    owner_url = require_setting(settings.database.owner_url, "STAFETT_DATABASE__OWNER_URL")
    with make_progress_bar("{task.description}", BarColumn(), MofNCompleteColumn()) as progress:
        task = progress.add_task(f"Seeding {org}", total=activities)
        result = insert_seed_data(
            request,
            owner_url,
            FileStorage(settings.s3),
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    if result.already_seeded:
        print_lines(f"{org} already has these rows: the same seed gives the same rows.")
    else:
        print_lines(
            f"Added to {org}: {result.mentors} peer mentors, {result.activities} activities"
            f" and {result.attachments} attachments."
        )


def token(
    user: Annotated[str, typer.Option("--user", help="Email address of the user.")],
    role: Annotated[
        Role, typer.Option("--role", help="Role claimed by the token. The role in the database takes precedence.")
    ],
    org: Annotated[str | None, typer.Option("--org", help="Organisation claimed by the token.")] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Print a bearer token for the API of a development stack, such as an identity provider issues elsewhere."""
    print_lines(issue_development_token(data_dir, user, org, role))


def issue_development_token(data_dir: Path | None, user: str, org: str | None, role: str) -> str:
    """Create a token like that of an identity provider. The subject of a seeded user is the user's id.

    The first token of any other user carries the verified address, which links the subject to the invited user.
    """
    from stafett.devstack.issuer import DevIssuer
    from stafett.seed.organisations import dev_user_id, is_seeded

    if data_dir is None:
        raise SettingsError(
            "A development token requires a development stack: specify its data directory with --data-dir."
        )
    claims = {} if is_seeded(user) else {"email": user, "email_verified": True}
    return DevIssuer(data_dir).create_token(dev_user_id(user), org, role, **claims)
