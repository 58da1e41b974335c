import re
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as some

from api.etags import format_etag, is_unchanged

_expiries = some.none() | some.datetimes(datetime(2026, 1, 1), datetime(2200, 1, 1), timezones=some.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone
_answers = some.tuples(some.integers(0, 2**31 - 1), some.integers(0, 2**31 - 1), _expiries)


@given(_answers, _answers)
def test_two_answers_share_a_tag_only_if_row_and_link_are_the_same(
    one: tuple[int, int, datetime | None], other: tuple[int, int, datetime | None]
) -> None:
    (edits, changes, link), (other_edits, other_changes, other_link) = one, other
    same = (edits, changes, link and link.date()) == (other_edits, other_changes, other_link and other_link.date())
    assert (format_etag(*one) == format_etag(*other)) is same


@given(_answers)
def test_a_tag_says_how_often_clients_edited_and_apart_from_it_all_the_rest(
    answer: tuple[int, int, datetime | None],
) -> None:
    tag = format_etag(*answer)
    assert re.fullmatch(r'"\d+-\d+"', tag)
    assert tag.strip('"').split("-")[0] == str(answer[0])


def test_a_link_that_is_gone_makes_a_tag_that_never_was() -> None:
    expires_at = datetime(2026, 7, 3, tzinfo=UTC)
    with_link = [format_etag(0, changes, expires_at) for changes in range(20)]
    without = [format_etag(0, changes, None) for changes in range(20)]
    assert len({*with_link, *without}) == 40


def test_a_client_has_it_already_if_any_of_its_tags_is_the_one() -> None:
    assert is_unchanged('"0-1"', '"0-0", W/"0-1"')
    assert is_unchanged('"0-1"', "*")
    assert not is_unchanged('"0-1"', '"0-11"')
    assert not is_unchanged('"0-1"', "0-1")
    assert not is_unchanged('"0-1"', None)
