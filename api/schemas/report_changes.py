"""The rows that differ between two versions of a report, a page at a time."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, TypeAdapter

from api.schemas.exports import NextPageToken, Resource
from stafett.database.pagination import (
    DEFAULT_PAGE_SIZE,
    PageSize,
    PageToken,
    decode_page_token,
    encode_page_token,
)
from stafett.domain.frozen import FrozenModel
from stafett.domain.reexport import MAX_VERSION
from stafett.reports.row_changes import RowChanges, VersionPair
from stafett.reports.row_descriptions import list_column_changes

_KEY = TypeAdapter(tuple[int, int, int])


class ChangesQuery(FrozenModel):
    """Which versions are compared, and the page. A page token names the versions, too."""

    before: int | None = Field(
        None, alias="from", ge=1, le=MAX_VERSION, description="The earlier version. Default: the one before `to`."
    )
    after: int | None = Field(
        None, alias="to", ge=1, le=MAX_VERSION, description="The later version. Default: the newest."
    )
    page_size: PageSize = DEFAULT_PAGE_SIZE
    page_token: PageToken = None

    def decode(self, report_id: UUID) -> tuple[VersionPair, int]:
        """Return the versions and the index of the page's first row."""
        if not self.page_token:
            return VersionPair(self.before, self.after), 0
        before, after, first = decode_page_token(self.page_token, _name_list(report_id), _KEY)
        return VersionPair(before, after), first


class ChangedColumn(Resource):
    """A column that differs between the versions."""

    name: str = Field(description="Name of the column: a field of the activity, or `outcome`.")
    before: int | bool | AwareDatetime | str | None = Field(
        description="Value in the earlier version. A `note` has no values, because the API returns no notes."
    )
    after: int | bool | AwareDatetime | str | None = Field(description="Value in the later version.")


class ChangedRow(Resource):
    """An activity that differs between the versions."""

    change: Literal["added", "removed", "changed"]
    activity_id: UUID
    date: date
    mentor: str = Field(description="Name of the peer mentor, as the later version has it.")
    place: str
    sheet_before: str | None = Field(description="Sheet of the earlier version's workbook that lists the activity.")
    row_before: int | None = Field(description="Its row there, as a spreadsheet program counts them.")
    sheet_after: str | None = Field(description="Sheet of the later version's workbook.")
    row_after: int | None = Field(description="Its row there.")
    counted_before: bool | None = Field(description="Whether it counted; null if the earlier version does not have it.")
    counted_after: bool | None = Field(description="Whether it counts; null if the later version does not have it.")
    columns: tuple[ChangedColumn, ...] = Field(description="What differs in a changed activity.")

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        values = {name: row[name] for name in cls.model_fields if name != "columns"}
        return cls.model_validate(values | {"columns": [each._asdict() for each in list_column_changes(row)]})


class VersionChangeCounts(Resource):
    """Numbers of activities that differ."""

    added: int
    removed: int
    changed: int


class VersionChangesPage(Resource):
    """A page of the activities that differ between two versions, in report order."""

    from_version: int
    to_version: int
    counts: VersionChangeCounts
    items: tuple[ChangedRow, ...]
    next_page_token: NextPageToken = None

    @classmethod
    def from_changes(cls, report_id: UUID, changes: RowChanges, first: int) -> Self:
        items = tuple(map(ChangedRow.from_row, changes.iterate_rows()))
        following = first + len(items)
        key = [changes.before, changes.after, following]
        return cls(
            from_version=changes.before,
            to_version=changes.after,
            counts=VersionChangeCounts(**changes.counts._asdict()),
            items=items,
            next_page_token=encode_page_token(_name_list(report_id), key) if following < changes.counts.total else None,
        )


def _name_list(report_id: UUID) -> str:
    return f"changes of {report_id}"
