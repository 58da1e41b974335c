"""Limits on the structure of JSON, checked without parsing it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.request_body import JsonLimits
from stafett.domain.errors import InvalidRequestError

_LIMITS = JsonLimits(depth=3, keys_per_object=4, values=12)
_SCALARS = st.none() | st.booleans() | st.integers() | st.text(alphabet='a"\\,:{}[]', max_size=5)
_DOCUMENTS = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('k"{:,', max_size=4), inner, max_size=6),
    max_leaves=15,
)


def measure(value: object) -> tuple[int, int, int]:
    """Return depth, maximum of keys in an object, and number of values, as a recursion over parsed JSON."""
    children = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    measured = [measure(child) for child in children]
    is_container = isinstance(value, dict | list)
    depth = (1 if is_container else 0) + max((depth for depth, _, _ in measured), default=0)
    keys = max([len(value) if isinstance(value, dict) else 0, *(keys for _, keys, _ in measured)])
    return depth, keys, 1 + sum(count for _, _, count in measured)


@given(document=_DOCUMENTS)
def test_documents_within_the_limits_pass_and_deep_or_wide_ones_do_not(document: object) -> None:
    depth, keys, values = measure(document)
    body = json.dumps(document).encode()
    if depth > _LIMITS.depth or keys > _LIMITS.keys_per_object:
        with pytest.raises(InvalidRequestError):
            _LIMITS.check(body)
    elif values <= _LIMITS.values // 2:  # the check counts a container's first value twice
        _LIMITS.check(body)


@pytest.mark.parametrize("body", [b"", b"]", b'"', b'{"', b'{"a', b"}}}}", b'"\\', b"\xff\xfe", b",:", b"[}"])
def test_malformed_bodies_are_left_to_the_parser(body: bytes) -> None:
    _LIMITS.check(body)


def test_punctuation_in_texts_does_not_count() -> None:
    _LIMITS.check(json.dumps({"note": '{["' * 1000 + ",:\\" * 1000}).encode())


def test_number_of_values_is_limited() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        _LIMITS.check(json.dumps([[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]]).encode())
    assert [issue.code for issue in refused.value.issues] == ["too_many_values"]
