"""``stafett mentor``: commands for peer mentors."""

from typing import Annotated

import typer

from stafett.cli.client import connect
from stafett.cli.options import DataDirOption, JsonOption, OrgOption, UserOption
from stafett.cli.terminal import make_console, make_table, print_json

app = typer.Typer(name="mentor", help="List the peer mentors of an organisation.", no_args_is_help=True)


@app.command(name="list")
def list_mentors(
    org: OrgOption,
    name_filter: Annotated[
        str | None, typer.Option("--name", help="Only mentors whose name contains this text.")
    ] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Only active or only inactive mentors.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of mentors.")] = 50,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List peer mentors by name."""
    api, mentors, page_token = connect(data_dir, user, org), list[dict[str, object]](), ""
    while len(mentors) < limit and page_token is not None:
        params: dict[str, str | int | None] = {"org_id": org, "q": name_filter, "page_token": page_token or None}
        params |= {
            "active": None if active is None else str(active).lower(),
            "page_size": min(limit - len(mentors), 200),
        }
        page = api.get("/peer-mentors", {name: value for name, value in params.items() if value is not None})
        mentors, page_token = [*mentors, *page["items"]], page["next_page_token"]
    if as_json:
        print_json({"items": mentors})
        return
    table = make_table("id", "name", "active")
    for mentor in mentors:
        table.add_row(str(mentor["id"]), str(mentor["display_name"]), "yes" if mentor["active"] else "no")
    make_console().print(table)
