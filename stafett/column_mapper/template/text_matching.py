"""Which of the texts that were found is which of those that were expected, also if somebody wrote it another way."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

_MIN_SIMILARITY = 0.8
_MAX_COMPARISONS = 10_000


def match_texts(expected: Sequence[str], actual: Sequence[str]) -> dict[int, int]:
    """Numbers of found texts with the numbers of those they are meant to be: the same ones first, then the likest."""
    places = {text: number for number, text in reversed(list(enumerate(expected)))}
    first = {text: number for number, text in reversed(list(enumerate(actual)))}
    pairs = {number: places[text] for text, number in first.items() if text in places}
    left = [number for number, text in enumerate(expected) if number not in set(pairs.values())]
    strange = [number for number, text in enumerate(actual) if text not in places and first[text] == number]
    for one, other in _rank_matches(expected, left, actual, strange):
        if one not in pairs and other in left:
            pairs[one] = other
            left.remove(other)
    return dict(sorted(pairs.items()))


def _rank_matches(
    expected: Sequence[str], unmatched_expected: Sequence[int], actual: Sequence[str], unmatched_actual: Sequence[int]
) -> Iterator[tuple[int, int]]:
    if len(unmatched_expected) * len(unmatched_actual) > _MAX_COMPARISONS:
        return
    likenesses = [
        (_similarity(actual[one], expected[other]), one, other)
        for one in unmatched_actual
        for other in unmatched_expected
    ]
    for likeness, one, other in sorted(likenesses, key=lambda pair: -pair[0]):
        if likeness >= _MIN_SIMILARITY:
            yield one, other


def _similarity(actual: str, expected: str) -> float:
    plain, meant = _normalise(actual), _normalise(expected)
    if plain == meant:
        return 1
    matcher = SequenceMatcher(None, plain, meant, autojunk=False)
    return (
        0
        if matcher.real_quick_ratio() < _MIN_SIMILARITY or matcher.quick_ratio() < _MIN_SIMILARITY
        else matcher.ratio()
    )


def _normalise(text: str) -> str:
    """Without what people type one way or another; long texts are told apart by how they begin."""
    return "".join(one for one in text[:200].casefold() if one.isalnum())


def find_out_of_order(numbers: Sequence[int]) -> list[int]:
    """Places of those that have to move so that the others, as many as can be, stand in order."""
    ends: list[int] = []
    longest = []
    for number in numbers:
        place = bisect_left(ends, number)
        ends[place : place + 1] = [number]
        longest.append(place)
    moved, wanted = [], len(ends) - 1
    for place in reversed(range(len(numbers))):
        if longest[place] == wanted:
            wanted -= 1
        else:
            moved.append(place)
    return moved[::-1]
