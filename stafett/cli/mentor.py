"""``stafett mentor``: whom there is to choose from."""

import json
from typing import Annotated

import typer

from stafett.cli.client import connect
from stafett.cli.options import AsJson, DataDir, Org, User
from stafett.cli.terminal import console_for, table

app = typer.Typer(name="mentor", help="The peer mentors of an organisation.", no_args_is_help=True)


@app.command(name="list")
def list_mentors(
    org: Org,
    q: Annotated[str | None, typer.Option("--name", help="Only those with this in their names.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive", help="Only those who are, or are not.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many at most.")] = 50,
    data_dir: DataDir = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """List peer mentors by name."""
    api, mentors, token = connect(data_dir, user, org), list[dict[str, object]](), ""
    while len(mentors) < most and token is not None:
        asked: dict[str, str | int | None] = {"org_id": org, "q": q, "page_token": token or None}
        asked |= {"active": None if active is None else str(active).lower(), "page_size": min(most - len(mentors), 200)}
        page = api.get("/peer-mentors", {name: value for name, value in asked.items() if value is not None})
        mentors, token = [*mentors, *page["items"]], page["next_page_token"]
    if as_json:
        typer.echo(json.dumps({"items": mentors}, ensure_ascii=False))
        return
    shown = table("id", "name", "active")
    for mentor in mentors:
        shown.add_row(str(mentor["id"]), str(mentor["display_name"]), "yes" if mentor["active"] else "no")
    console_for().print(shown)
