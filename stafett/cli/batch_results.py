"""What is wrong with the items of a batch and what to consider, with the lines of its file and the mentors' names."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from stafett.cli.batch_file import BatchFile
from stafett.cli.client import ApiClient, ApiError, Json
from stafett.domain.bulk_status import ItemErrorCode

MAX_ERRORS_SHOWN = 10
_MAX_LINES_NAMED = 10
_NO_FILE = BatchFile(b"", {})


class ItemNames:
    """Names the items of a batch: the line of the file, the reference, and the peer mentor."""

    def __init__(self, api: ApiClient, file: BatchFile | None) -> None:
        self._api = api
        self._file = file or _NO_FILE
        self._mentors = dict[str, str | None]()

    def name(self, position: int, item: Json) -> str:
        has_mentor = not item["error"] or item["error"]["code"] != ItemErrorCode.MENTOR_NOT_FOUND
        mentor = self._load_name(item["mentor_id"]) if has_mentor else self._file.name_mentor(position)
        return ", ".join(filter(None, (self._file.name_place(position), item["client_ref"], mentor)))

    def _load_name(self, mentor_id: str) -> str | None:
        """Load the name of a peer mentor, if the organisation has it."""
        if mentor_id not in self._mentors:
            self._mentors[mentor_id] = None
            with suppress(ApiError):
                self._mentors[mentor_id] = self._api.get(f"/peer-mentors/{mentor_id}")["display_name"]
        return self._mentors[mentor_id]


def format_item_errors(api: ApiClient, items: Sequence[Json], file: BatchFile | None = None) -> list[str]:
    """Format the errors of the first items that fail, each with what the file has."""
    names, failed = ItemNames(api, file), [entry for entry in enumerate(items) if entry[1]["error"]]
    lines = []
    for position, item in failed[:MAX_ERRORS_SHOWN]:
        error = item["error"]
        values = file.quote_values(position, error["code"]) if file else ""
        has = f" {file.words.has.capitalize()} {values}." if file and values else ""
        lines.append(f"{names.name(position, item)}: {error['message']}{has} ({error['code']})")
    return lines


def format_validation(api: ApiClient, result: Json, file: BatchFile) -> list[str]:
    """Format the verdict on a batch that is only validated."""
    counts, items = result["counts"], result["items"]
    lines = [f"{counts['registered']} of {counts['total']} items would register, {counts['failed']} would fail."]
    errors = format_item_errors(api, items, file)
    lines += [f"  {line}" for line in errors]
    if hidden := counts["failed"] - len(errors):
        lines.append(f"  and {hidden} more: --json has all of them")
    return [*lines, *format_warnings(api, result, file)]


def format_warnings(api: ApiClient, batch: Json, file: BatchFile) -> list[str]:
    """Format the warnings of a batch, each with the lines that it is about."""
    lines = []
    for warning in batch["warnings"]:
        lines.append(f"{file.words.warning}: {warning['message']}")
        lines += [f"  {line}" for line in _list_lines(api, warning, batch["items"], file)]
    return lines


def _list_lines(api: ApiClient, warning: Json, items: Sequence[Json], file: BatchFile) -> list[str]:
    """List what a warning is about; nothing if the file's items are not those that the API has counted."""
    failed = {position for position, item in enumerate(items) if item["error"]}
    valid = [position for position in range(len(file)) if position not in failed]
    if warning["code"] == "starts_in_future":
        future = set(file.find_starts_after(datetime.now(UTC))).intersection(valid)
        return _list_future_starts(api, sorted(future), items, file) if len(future) == warning["rows"] else []
    groups = file.find_shared_events(valid)
    if sum(map(len, groups)) != warning["rows"]:
        return []
    shown = [_name_places(group, file) for group in groups[:_MAX_LINES_NAMED]]
    return [*shown, *([f"and {len(groups) - len(shown)} more events"] if len(groups) > len(shown) else [])]


def _list_future_starts(api: ApiClient, positions: Sequence[int], items: Sequence[Json], file: BatchFile) -> list[str]:
    names, shown = ItemNames(api, file), positions[:MAX_ERRORS_SHOWN]
    titles = [names.name(each, items[each]) if each < len(items) else file.name_place(each) for each in shown]
    lines = [f"{title}: {file.quote_start(each)}" for title, each in zip(titles, shown, strict=True)]
    return [*lines, *([f"and {len(positions) - len(shown)} more"] if len(positions) > len(shown) else [])]


def _name_places(positions: Iterable[int], file: BatchFile) -> str:
    """Name the lines of one event, such as `one event: lines 2, 3 and 4`, in English as the words around them."""
    places = [file.name_place(position) or "" for position in positions]
    noun, numbers = "item" if file.body else "line", [place.partition(" ")[2] for place in places]
    if hidden := len(numbers) - _MAX_LINES_NAMED:
        numbers = numbers if hidden < 0 else [*numbers[:_MAX_LINES_NAMED], f"{hidden} more"]
    return f"one event: {noun}s {', '.join(numbers[:-1])} and {numbers[-1]}"
