"""The descriptions of a batch's columns, beside what reading a file accepts."""

import re
from typing import Any, get_args
from uuid import uuid4

import pytest

from stafett.bulk.column_descriptions import column_descriptions
from stafett.bulk.csv_format import TEMPLATE_COLUMNS, parse_request, render_template
from stafett.domain.activity import ACTIVITY_TYPES
from stafett.domain.export import Locale
from stafett.domain.proxy_activity import ProxyActivity

LOCALES = get_args(Locale)


@pytest.mark.parametrize("locale", LOCALES)
def test_every_column_of_the_template_is_described_in_its_order(locale: Locale) -> None:
    assert tuple(each.column for each in column_descriptions(locale)) == TEMPLATE_COLUMNS
    assert not any(re.search(r"[{}]", each.text) for each in column_descriptions(locale))


@pytest.mark.parametrize("locale", LOCALES)
def test_values_named_in_descriptions_are_valid_in_a_file(locale: Locale) -> None:
    texts = {each.column: each.text for each in column_descriptions(locale)}
    for name in (each.names[locale] for each in ACTIVITY_TYPES):
        assert name in texts["activity_type"]
    for starts_at in re.findall(r"[\d.-]{10} \d\d:\d\d", texts["starts_at"]):
        cells = {"activity_type": ACTIVITY_TYPES[0].names[locale], "starts_at": starts_at}
        cells |= {"duration_minutes": "60", "participants": "3", "new_participants": "1", "place": "Oslo"}
        for column in ("in_person", "in_norway"):
            (yes, no) = re.findall(r"\b(ja|nei)\b", texts[column])
            activity = ProxyActivity.model_validate(_read_line({**cells, "in_person": yes, "in_norway": no}))
            assert (activity.in_person, activity.in_norway, activity.starts_at.minute) == (True, False, 0)


def _read_line(cells: dict[str, str]) -> dict[str, Any]:
    """Read the template of one peer mentor with these cells filled in."""
    header, line, *_ = render_template([(str(uuid4()), "Kari Nordmann")]).splitlines()
    columns = header.removeprefix("\ufeff").split(";")
    values = dict(zip(columns, line.split(";"), strict=True)) | cells
    content = "\n".join([header, ";".join(values[column] for column in columns)])
    (item,) = parse_request(content.encode(), "nhf", None).items
    return {str(name): value for name, value in item.overrides.items()}
