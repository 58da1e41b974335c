"""Pagination of lists: filters, which are the query parameters of the API, and opaque page tokens."""

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from pydantic import Field, TypeAdapter
from pydantic_core import from_json, to_json
from sqlalchemy import tuple_
from sqlmodel import Session, SQLModel, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.database.tables import Organisation
from stafett.domain.errors import InvalidRequestError, RequestIssue
from stafett.domain.export import OrgId
from stafett.domain.fields import UtcDatetime
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller

Row = TypeVar("Row", bound=SQLModel)
Item = TypeVar("Item")
UNKNOWN_ORGANISATION = "unknown_organisation"
MAX_TOKEN_LENGTH = 200
"""Tokens of this API are shorter; a longer one is rejected without decoding it."""

DEFAULT_PAGE_SIZE = 50
PageSize = Annotated[int, Field(ge=1, le=200, description="Maximum number of items on the page.")]
PageToken = Annotated[
    str | None,
    Field(
        max_length=MAX_TOKEN_LENGTH,
        description="`next_page_token` of the previous page. Leave it out for the first page.",
    ),
]
OrgIdFilter = Annotated[OrgId | None, Field(description="Only entries of this organisation.")]


class ListFilter(FrozenModel):
    """Filters and page of a list, newest first. A filter with the name of a column requires the column's value."""

    org_id: OrgIdFilter = None
    created_after: UtcDatetime | None = Field(None, description="Only entries created after this time.")
    created_before: UtcDatetime | None = Field(None, description="Only entries created before this time.")
    page_size: PageSize = DEFAULT_PAGE_SIZE
    page_token: PageToken = None


class PageRequest(Protocol):
    """The page that a list's filter requests."""

    @property
    def page_size(self) -> int: ...

    @property
    def page_token(self) -> str | None: ...


class Page(NamedTuple, Generic[Item]):
    """Items of a list, and the token of the next page, if there is one."""

    items: Sequence[Item]
    next_page_token: str | None


def select_visible(table: type[Row], caller: Caller, filters: FrozenModel) -> SelectOfScalar[Row]:
    """Select the rows that match the filters and are not deleted, for a member those of their organisation."""
    columns = table.__table__.c  # type: ignore[attr-defined]  # SQLModel hides its table
    values = {name: value for name, value in filters.model_dump().items() if value is not None}
    query = select(table).where(*(columns[name] == value for name, value in values.items() if name in columns))
    if caller.org_id is not None:  # the policies filter by organisation too, but only this condition uses the index
        query = query.where(columns.org_id == caller.org_id)
    if "created_after" in values:
        query = query.where(columns.created_at > values["created_after"])
    if "created_before" in values:
        query = query.where(columns.created_at < values["created_before"])
    return query.where(columns.deleted_at.is_(None)) if "deleted_at" in columns else query


def require_known_organisation(session: Session, caller: Caller, org_id: str | None) -> None:
    """Name an unknown organisation of a filter to an operator. A member must not know which organisations there are."""
    if org_id is not None and caller.is_operator and session.get(Organisation, org_id) is None:
        message = f"There is no organisation {org_id}"
        raise InvalidRequestError([RequestIssue("query:org_id", UNKNOWN_ORGANISATION, message)])


class SortKey(NamedTuple):
    """The unique sort key of a list, of which a page token has the last values."""

    names: tuple[str, ...]
    value_type: TypeAdapter[Any]
    newest_first: bool = False

    def name_list(self, table: type[SQLModel]) -> str:
        """Name the list of this table in this order, so that no other list accepts its page tokens."""
        return f"{'-' if self.newest_first else '+'}{table.__tablename__}"


NEWEST_FIRST = SortKey(("created_at", "id"), TypeAdapter(tuple[UtcDatetime, UUID]), newest_first=True)


def check_page_token(page: PageRequest, table: type[SQLModel], sort_key: SortKey = NEWEST_FIRST) -> None:
    """Reject an invalid token before the resource is looked up that the list belongs to."""
    if page.page_token:
        decode_page_token(page.page_token, sort_key.name_list(table), sort_key.value_type)


def load_page(
    session: Session,
    table: type[Row],
    query: SelectOfScalar[Row],
    page: PageRequest,
    sort_key: SortKey = NEWEST_FIRST,
) -> Page[Row]:
    """Load a page of the query."""
    columns = [table.__table__.c[name] for name in sort_key.names]  # type: ignore[attr-defined]  # SQLModel hides its table
    list_name = sort_key.name_list(table)
    if page.page_token:
        last, key = decode_page_token(page.page_token, list_name, sort_key.value_type), tuple_(*columns)
        query = query.where(key < last if sort_key.newest_first else key > last)
    query = query.order_by(*(column.desc() if sort_key.newest_first else column for column in columns))
    rows = session.exec(query.limit(page.page_size + 1)).all()
    return split_page(rows, page, list_name, lambda row: [getattr(row, name) for name in sort_key.names])


def split_page(
    rows: Sequence[Item], page: PageRequest, list_name: str, key_for: Callable[[Item], Sequence[object]]
) -> Page[Item]:
    """Return the page. The query loads one row more than the page has, to know of a next one."""
    items = rows[: page.page_size]
    return Page(items, encode_page_token(list_name, key_for(items[-1])) if len(rows) > page.page_size else None)


def encode_page_token(list_name: str, key: Sequence[object]) -> str:
    return base64.urlsafe_b64encode(to_json([list_name, *key])).decode().rstrip("=")


def decode_page_token(token: str, list_name: str, value_type: TypeAdapter[Any]) -> Any:
    """Decode a token of this list; it has no secrets, so that a client could forge one."""
    try:
        match from_json(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))):
            case [name, *key] if name == list_name:
                return value_type.validate_python(key)
    except ValueError:
        pass
    raise invalid_token_error()


def invalid_token_error() -> InvalidRequestError:
    message = "The page token was not issued by this list"
    return InvalidRequestError([RequestIssue("query:page_token", "page_token", message)])
