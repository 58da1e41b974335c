"""Which of the texts that were found is which of those that were expected, also if somebody wrote it another way."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

_ALIKE = 0.8
_MOST_COMPARED = 10_000


def paired(expected: Sequence[str], found: Sequence[str]) -> dict[int, int]:
    """Numbers of found texts with the numbers of those they are meant to be: the same ones first, then the likest."""
    places = {text: number for number, text in reversed(list(enumerate(expected)))}
    first = {text: number for number, text in reversed(list(enumerate(found)))}
    pairs = {number: places[text] for text, number in first.items() if text in places}
    left = [number for number, text in enumerate(expected) if number not in set(pairs.values())]
    strange = [number for number, text in enumerate(found) if text not in places and first[text] == number]
    for one, other in _likest(expected, left, found, strange):
        if one not in pairs and other in left:
            pairs[one] = other
            left.remove(other)
    return dict(sorted(pairs.items()))


def _likest(
    expected: Sequence[str], left: Sequence[int], found: Sequence[str], strange: Sequence[int]
) -> Iterator[tuple[int, int]]:
    if len(left) * len(strange) > _MOST_COMPARED:
        return
    likenesses = [(_likeness(found[one], expected[other]), one, other) for one in strange for other in left]
    for likeness, one, other in sorted(likenesses, key=lambda pair: -pair[0]):
        if likeness >= _ALIKE:
            yield one, other


def _likeness(one: str, other: str) -> float:
    plain, meant = _plain(one), _plain(other)
    if plain == meant:
        return 1
    matcher = SequenceMatcher(None, plain, meant, autojunk=False)
    return 0 if matcher.real_quick_ratio() < _ALIKE or matcher.quick_ratio() < _ALIKE else matcher.ratio()


def _plain(text: str) -> str:
    """Without what people type one way or another; long texts are told apart by how they begin."""
    return "".join(one for one in text[:200].casefold() if one.isalnum())


def out_of_order(numbers: Sequence[int]) -> list[int]:
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
