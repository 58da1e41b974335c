import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.etags import format_etag, is_unchanged, parse_if_match
from stafett.domain.errors import PreconditionFailedError, require_revision

_expiries = st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone
_etag_inputs = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1), _expiries)


@given(_etag_inputs, _etag_inputs)
def test_etags_are_equal_only_if_revisions_and_link_date_are_equal(
    first: tuple[int, int, datetime | None], second: tuple[int, int, datetime | None]
) -> None:
    (edits, changes, link), (second_edits, second_changes, second_link) = first, second
    same = (edits, changes, link and link.date()) == (second_edits, second_changes, second_link and second_link.date())
    assert (format_etag(*first) == format_etag(*second)) is same


@given(_etag_inputs)
def test_etag_starts_with_the_edit_count(
    inputs: tuple[int, int, datetime | None],
) -> None:
    etag = format_etag(*inputs)
    assert re.fullmatch(r'"\d+-\d+"', etag)
    assert etag.strip('"').split("-")[0] == str(inputs[0])


def test_etag_after_link_expiry_differs_from_all_earlier_etags() -> None:
    expires_at = datetime(2026, 7, 3, tzinfo=UTC)
    with_link = [format_etag(0, changes, expires_at) for changes in range(20)]
    without = [format_etag(0, changes, None) for changes in range(20)]
    assert len({*with_link, *without}) == 40


def test_is_unchanged_if_any_tag_of_the_header_matches() -> None:
    assert is_unchanged('"0-1"', '"0-0", W/"0-1"')
    assert is_unchanged('"0-1"', "*")
    assert not is_unchanged('"0-1"', '"0-11"')
    assert not is_unchanged('"0-1"', "0-1")
    assert not is_unchanged('"0-1"', None)


def test_if_match_expects_the_revisions_of_its_strong_tags() -> None:
    assert parse_if_match(None) is None
    assert parse_if_match('"3-1200000"') == {3}
    assert parse_if_match('W/"2-0", "3-1", "4-0"') == {3, 4}
    every_revision = parse_if_match(" * ")
    assert every_revision is not None
    assert 7 in every_revision


@pytest.mark.parametrize(
    ("if_match", "words"),
    [
        ("", "is empty"),
        ('W/"3-1"', "weak entity tag"),
        ("3-1", "double quotes"),
        ('"3-1', "double quotes"),
        ('"abc"', "has not issued"),
    ],
)
def test_if_match_without_a_tag_of_this_api_is_no_conflict_with_another_edit(if_match: str, words: str) -> None:
    with pytest.raises(PreconditionFailedError) as refused:
        require_revision(parse_if_match(if_match), 3, "report")
    assert words in str(refused.value)
    assert "changed" not in str(refused.value)
    assert "Send the ETag" in str(refused.value)
