"""Matches actual texts to expected texts, including those that are written slightly differently."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

_MIN_SIMILARITY = 0.8
_MAX_COMPARISONS = 10_000


def match_texts(expected: Sequence[str], actual: Sequence[str]) -> dict[int, int]:
    """Match each actual text to at most one expected text: equal texts first, then the most similar ones.

    Returns the indices of expected texts by the indices of actual texts.
    """
    expected_indices = {text: index for index, text in reversed(list(enumerate(expected)))}
    actual_indices = {text: index for index, text in reversed(list(enumerate(actual)))}
    matches = {index: expected_indices[text] for text, index in actual_indices.items() if text in expected_indices}
    matched = set(matches.values())
    unmatched_expected = [index for index in range(len(expected)) if index not in matched]
    unmatched_actual = [
        index for index, text in enumerate(actual) if text not in expected_indices and actual_indices[text] == index
    ]
    for actual_index, expected_index in _rank_matches(expected, unmatched_expected, actual, unmatched_actual):
        if actual_index not in matches and expected_index in unmatched_expected:
            matches[actual_index] = expected_index
            unmatched_expected.remove(expected_index)
    return dict(sorted(matches.items()))


def _rank_matches(
    expected: Sequence[str], unmatched_expected: Sequence[int], actual: Sequence[str], unmatched_actual: Sequence[int]
) -> Iterator[tuple[int, int]]:
    if len(unmatched_expected) * len(unmatched_actual) > _MAX_COMPARISONS:
        return
    candidates = [
        (_similarity(actual[actual_index], expected[expected_index]), actual_index, expected_index)
        for actual_index in unmatched_actual
        for expected_index in unmatched_expected
    ]
    for similarity, actual_index, expected_index in sorted(candidates, key=lambda candidate: -candidate[0]):
        if similarity >= _MIN_SIMILARITY:
            yield actual_index, expected_index


def _similarity(actual: str, expected: str) -> float:
    normalised_actual, normalised_expected = _normalise(actual), _normalise(expected)
    if normalised_actual == normalised_expected:
        return 1
    matcher = SequenceMatcher(None, normalised_actual, normalised_expected, autojunk=False)
    return (
        0
        if matcher.real_quick_ratio() < _MIN_SIMILARITY or matcher.quick_ratio() < _MIN_SIMILARITY
        else matcher.ratio()
    )


def _normalise(text: str) -> str:
    """Remove case, white space and punctuation. Only the first 200 characters of a text are compared."""
    return "".join(character for character in text[:200].casefold() if character.isalnum())


def find_out_of_order(numbers: Sequence[int]) -> list[int]:
    """Return the indices of the fewest numbers to move so that the others are in order.

    The others are a longest increasing subsequence.
    """
    tails: list[int] = []
    lengths = []
    for number in numbers:
        length = bisect_left(tails, number)
        tails[length : length + 1] = [number]
        lengths.append(length)
    moved, length = [], len(tails) - 1
    for index in reversed(range(len(numbers))):
        if lengths[index] == length:
            length -= 1
        else:
            moved.append(index)
    return moved[::-1]
