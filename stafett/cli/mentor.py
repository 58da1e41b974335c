"""``stafett mentor``: commands for peer mentors."""

from typing import Annotated

import typer

from stafett.cli.client import connect
from stafett.cli.jobs import Columns, build_query, print_list
from stafett.cli.options import DataDirOption, JsonOption, OrgOption, UserOption

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
        query = build_query(
            org_id=org,
            q=name_filter,
            active=None if active is None else str(active).lower(),
            page_size=min(limit - len(mentors), 200),
            page_token=page_token or None,
        )
        page = api.get("/peer-mentors", query)
        mentors, page_token = [*mentors, *page["items"]], page["next_page_token"]
    columns: Columns = {
        "id": lambda mentor: mentor["id"],
        "name": lambda mentor: mentor["display_name"],
        "active": lambda mentor: "yes" if mentor["active"] else "no",
    }
    print_list({"items": mentors}, as_json, columns)
