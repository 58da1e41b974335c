"""Random numbers that are the same on every machine, computed from a seed, a label and a row's number only.

Polars' own ``hash``, ``sample`` and ``shuffle`` are stable only within one version. SplitMix64 over wrapping 64-bit
columns is a dozen lines, and any subset of the rows can be generated without the others.
"""

import hashlib
from collections.abc import Sequence

import polars as pl

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_ROW_NUMBER = pl.col("number")
_HEX_WORDS = pl.Series([f"{value:04x}" for value in range(1 << 16)])


class SeededRandom:
    """Random expressions of one seed. A label selects the stream, and a row's column ``number`` the value in it."""

    def __init__(self, seed: str) -> None:
        self._seed = seed

    def random_u64(self, label: str, number: pl.Expr = _ROW_NUMBER) -> pl.Expr:
        """Draw 64 uniformly distributed bits for each row."""
        key = hashlib.sha256(f"{self._seed}/{label}".encode()).digest()[:8]
        return _finalise_splitmix64(number.cast(pl.UInt64) * _u64(_GOLDEN_GAMMA) + _u64(int.from_bytes(key, "big")))

    def integer_below(self, label: str, limit: int | pl.Expr) -> pl.Expr:
        """Draw an integer from 0 up to, but not including, the limit."""
        bound = _u64(limit) if isinstance(limit, int) else limit.cast(pl.UInt64)
        return (self.random_u64(label) % bound).cast(pl.Int64)

    def one_in(self, n: int, label: str) -> pl.Expr:
        return self.integer_below(label, n) == 0

    def choice(self, label: str, choices: Sequence[str] | Sequence[int]) -> pl.Expr:
        """Draw one of the choices; a choice that is listed more often is more likely."""
        return pl.lit(pl.Series(choices)).gather(self.integer_below(label, len(choices)))

    def choice_from_group(self, label: str, group_index: pl.Expr, groups: Sequence[Sequence[int]]) -> pl.Expr:
        """Draw one of the choices of the group that ``group_index`` selects."""
        sizes = pl.Series([len(group) for group in groups])
        starts = pl.lit(sizes.cum_sum() - sizes).gather(group_index)
        choices = pl.Series([choice for group in groups for choice in group])
        return pl.lit(choices).gather(starts + self.integer_below(label, pl.lit(sizes).gather(group_index)))

    def uuid(self, label: str, number: pl.Expr = _ROW_NUMBER) -> pl.Expr:
        """Draw a version 4 UUID as text: 122 bits are random, so that two seeds do not collide."""
        return _format_uuid(self.random_u64(f"{label}, high", number), self.random_u64(f"{label}, low", number))

    def sortable_uuid(self, label: str, number: pl.Expr = _ROW_NUMBER) -> pl.Expr:
        """Draw a UUID that sorts like ``number``, which a B-tree inserts in half the time; 90 bits are random."""
        high = number.cast(pl.UInt64) * _u64(1 << 32) + self.random_u64(f"{label}, high", number) % _u64(1 << 32)
        return _format_uuid(high, self.random_u64(f"{label}, low", number))


def _format_uuid(high: pl.Expr, low: pl.Expr) -> pl.Expr:
    version = _u64(0x4000) + high % _u64(0x1000)
    variant = _u64(0x8000) + low // _u64(1 << 50)
    dash = pl.lit("-")
    return pl.concat_str(
        *(_hex_word_at(high, 48), _hex_word_at(high, 32), dash, _hex_word_at(high, 16), dash, _hex_word(version), dash),
        *(_hex_word(variant), dash, _hex_word_at(low, 32), _hex_word_at(low, 16), _hex_word_at(low, 0)),
    )


def _finalise_splitmix64(bits: pl.Expr) -> pl.Expr:
    """Apply SplitMix64's finaliser; a division by a power of two replaces its right shift."""
    bits = (bits ^ (bits // _u64(1 << 30))) * _u64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits // _u64(1 << 27))) * _u64(0x94D049BB133111EB)
    return bits ^ (bits // _u64(1 << 31))


def _u64(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.UInt64)


def _hex_word_at(bits: pl.Expr, shift: int) -> pl.Expr:
    return _hex_word((bits // _u64(1 << shift)) % _u64(1 << 16))


def _hex_word(value: pl.Expr) -> pl.Expr:
    return pl.lit(_HEX_WORDS).gather(value)
