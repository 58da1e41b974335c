"""Chance that is the same on every machine: a number drawn from a name and a row's number, and from nothing else.

Polars' own ``hash``, ``sample`` and ``shuffle`` promise the same only within one version. SplitMix64 over wrapping
64-bit columns is a dozen lines, and any part of the rows can be drawn without the others.
"""

import hashlib
from collections.abc import Sequence

import polars as pl

_GOLDEN = 0x9E3779B97F4A7C15
_NUMBER = pl.col("number")
_FOUR_DIGITS = pl.Series([f"{value:04x}" for value in range(1 << 16)])


class Chance:
    """Everything one seed decides, by what it is about; rows are told apart by their column ``number``."""

    def __init__(self, seed: str) -> None:
        self._seed = seed

    def draw(self, about: str, number: pl.Expr = _NUMBER) -> pl.Expr:
        """64 even bits for each row."""
        key = hashlib.sha256(f"{self._seed}/{about}".encode()).digest()[:8]
        return _mixed(number.cast(pl.UInt64) * _u64(_GOLDEN) + _u64(int.from_bytes(key, "big")))

    def below(self, about: str, limit: int | pl.Expr) -> pl.Expr:
        """A whole number from 0 up to, not including, the limit."""
        bound = _u64(limit) if isinstance(limit, int) else limit.cast(pl.UInt64)
        return (self.draw(about) % bound).cast(pl.Int64)

    def one_in(self, times: int, about: str) -> pl.Expr:
        return self.below(about, times) == 0

    def pick(self, about: str, choices: Sequence[str] | Sequence[int]) -> pl.Expr:
        """One of the choices; to make one likelier, name it more often."""
        return pl.lit(pl.Series(choices)).gather(self.below(about, len(choices)))

    def pick_from(self, about: str, which: pl.Expr, choices: Sequence[Sequence[int]]) -> pl.Expr:
        """One of the choices that ``which`` points at."""
        sizes = pl.Series([len(some) for some in choices])
        starts = pl.lit(sizes.cum_sum() - sizes).gather(which)
        every = pl.Series([choice for some in choices for choice in some])
        return pl.lit(every).gather(starts + self.below(about, pl.lit(sizes).gather(which)))

    def uuid(self, about: str, number: pl.Expr = _NUMBER) -> pl.Expr:
        """A version 4 UUID as text: 122 bits of chance, so that no two seeds ever meet."""
        return _uuid_text(self.draw(f"{about}, high", number), self.draw(f"{about}, low", number))

    def ascending_uuid(self, about: str, number: pl.Expr = _NUMBER) -> pl.Expr:
        """The same, but in the order of the numbers, which a B-tree takes in half the time; 90 bits are chance."""
        high = number.cast(pl.UInt64) * _u64(1 << 32) + self.draw(f"{about}, high", number) % _u64(1 << 32)
        return _uuid_text(high, self.draw(f"{about}, low", number))


def _uuid_text(high: pl.Expr, low: pl.Expr) -> pl.Expr:
    version = _u64(0x4000) + high % _u64(0x1000)
    variant = _u64(0x8000) + low // _u64(1 << 50)
    dash = pl.lit("-")
    return pl.concat_str(
        *(_digits(high, 48), _digits(high, 32), dash, _digits(high, 16), dash, _four_digits(version), dash),
        *(_four_digits(variant), dash, _digits(low, 32), _digits(low, 16), _digits(low, 0)),
    )


def _mixed(bits: pl.Expr) -> pl.Expr:
    """SplitMix64's finaliser; a division by a power of two is its shift to the right."""
    bits = (bits ^ (bits // _u64(1 << 30))) * _u64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits // _u64(1 << 27))) * _u64(0x94D049BB133111EB)
    return bits ^ (bits // _u64(1 << 31))


def _u64(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.UInt64)


def _digits(bits: pl.Expr, shift: int) -> pl.Expr:
    return _four_digits((bits // _u64(1 << shift)) % _u64(1 << 16))


def _four_digits(value: pl.Expr) -> pl.Expr:
    return pl.lit(_FOUR_DIGITS).gather(value)
