"""``stafett mentor``: commands for peer mentors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from stafett.cli.client import ApiClient, Json, connect
from stafett.cli.field_errors import name_options
from stafett.cli.jobs import build_query, print_list, print_result
from stafett.cli.lookup import resolve_id
from stafett.cli.options import ID_HELP, DataDirOption, JsonOption, OrgOption, UserOption, normalise_time, read_input
from stafett.cli.tables import Column, Columns

app = typer.Typer(
    name="mentor", help="List, add, edit and import the peer mentors of an organisation.", no_args_is_help=True
)

EXIT_NOT_ALL_ACCEPTED = 3
MentorIdArgument = Annotated[str, typer.Argument(metavar="ID", help=f"Id of the peer mentor, {ID_HELP}.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the peer mentor.")]

_OPTIONS = {"/display_name": "NAME", "/branch": "--branch", "/approved_at": "--approved", "/org_id": "--org"}
COLUMNS: Columns = {
    "id": Column(lambda mentor: mentor["id"], is_id=True),
    "name": Column(lambda mentor: mentor["display_name"], min_width=20),
    "active": Column(lambda mentor: "yes" if mentor["active"] else "no"),
    "branch": Column(lambda mentor: mentor["branch"], drop_order=1, min_width=12),
}


@app.command(name="list")
def list_mentors(
    org: OrgOption = "",
    name_filter: Annotated[
        str | None, typer.Option("--name", help="Only mentors whose name contains this text.")
    ] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Only active or only inactive mentors.")
    ] = None,
    branch: Annotated[str | None, typer.Option("--branch", help="Only mentors of this local branch.")] = None,
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
            branch=branch,
            active=None if active is None else str(active).lower(),
            page_size=min(limit - len(mentors), 200),
            page_token=page_token or None,
        )
        page = api.get("/peer-mentors", query)
        mentors, page_token = [*mentors, *page["items"]], page["next_page_token"]
    print_list({"items": mentors, "next_page_token": page_token}, as_json, COLUMNS)


@app.command()
def add(
    name: NameArgument,
    org: OrgOption = "",
    branch: Annotated[str | None, typer.Option("--branch", help="Local branch of the mentor.")] = None,
    approved_at: Annotated[
        str | None,
        typer.Option(
            "--approved",
            callback=normalise_time,
            help="Day of the approval (2026-12-31 or 31.12.2026), or an RFC 3339 time.",
        ),
    ] = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a peer mentor. Another mentor with the same name is a warning."""
    body = build_query(org_id=org, display_name=name, branch=branch, approved_at=approved_at)
    with name_options(_OPTIONS):
        mentor = connect(data_dir, user, org).post("/peer-mentors", body, idempotency_key=str(uuid4()))
    print_result(mentor, as_json, f"{_title(mentor)} is added.", *_format_warnings(mentor))


@app.command()
def rename(
    mentor_id: MentorIdArgument,
    name: NameArgument,
    org: OrgOption = "",
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rename a peer mentor."""
    mentor = _edit(connect(data_dir, user, org), org, mentor_id, {"display_name": name})
    print_result(mentor, as_json, f"{_title(mentor)} is renamed.", *_format_warnings(mentor))


@app.command()
def deactivate(
    mentor_id: MentorIdArgument,
    org: OrgOption = "",
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deactivate a peer mentor, for whom no activity can be registered any more."""
    mentor = _edit(connect(data_dir, user, org), org, mentor_id, {"active": False})
    print_result(mentor, as_json, f"{_title(mentor)} is deactivated.")


@app.command(name="import")
def import_mentors(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV file with the columns display_name, branch, approved_at and active; - reads standard input.",
        ),
    ],
    org: OrgOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the verdicts and write nothing.")] = False,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import peer mentors from a CSV file. Exit code 3 if a row is rejected; the other rows are added."""
    content = read_input(file)
    query = {"org_id": org} | ({"dry_run": "true"} if dry_run else {})
    api = connect(data_dir, user, org)
    result = api.post_content("/peer-mentors/import", content, "text/csv", query, idempotency_key=str(uuid4()))
    print_result(result, as_json, *_format_import(result))
    if result["counts"]["rejected"]:
        raise typer.Exit(EXIT_NOT_ALL_ACCEPTED)


def _edit(api: ApiClient, org: str, mentor_id: str, change: Json) -> Json:
    path = f"/peer-mentors/{resolve_id(api, '/peer-mentors', mentor_id, {'org_id': org})}"
    with name_options(_OPTIONS):
        return api.put(path, json.dumps(change).encode(), if_match=api.etag_of(path, {}))


def _title(mentor: Json) -> str:
    return f"Peer mentor {mentor['id']} ({mentor['org_id']}, {mentor['display_name']})"


def _format_warnings(mentor: Json) -> list[str]:
    return [f"The same name: peer mentor {same}." for each in mentor["warnings"] for same in each["mentor_ids"]]


def _format_import(result: Json) -> Iterator[str]:
    counts = result["counts"]
    verb = "would be added" if result["dry_run"] else "added"
    yield f"{counts['accepted']} of {counts['total']} rows {verb} to {result['org_id']}, {counts['rejected']} rejected."
    for row in result["rows"]:
        yield from (f"line {row['line']}: another peer mentor has the same name." for _ in row["warnings"])
        yield from (f"{error['pointer']}: {error['detail']}" for error in row["errors"])
