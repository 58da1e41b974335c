"""What became of each activity in a version of a report: whether it was rejected, did not count or had a warning."""

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b

import polars as pl

from stafett.activity_frames import frame_from_arrow
from stafett.column_mapper.deviations import CAUSES, CODES, OUTCOME, ROW
from stafett.domain.export_outputs import DeviationOutcome, Deviations
from stafett.storage.files import FileStorage

_MISSING = "missing"
_NO_OUTCOMES = pl.DataFrame(schema={ROW: pl.Int64(), OUTCOME: pl.UInt64()})
_NO_CODES = pl.DataFrame(schema={ROW: pl.Int64(), OUTCOME: pl.String(), CODES: pl.String()})
_NO_MISSING_ATTACHMENTS = pl.DataFrame(schema={ROW: pl.Int64(), _MISSING: pl.UInt64()})


class RowOutcomes:
    """The outcomes of a version's rows with their causes. The texts of causes differ between languages."""

    def __init__(self, storage: FileStorage, deviations: Deviations, *, includes_texts: bool) -> None:
        self._storage = storage
        self._deviations = deviations
        self._includes_texts = includes_texts

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """What is equal only for versions whose outcomes are all the same; nothing is read from storage for it."""
        attachments = self._deviations.attachments
        parts = tuple(part.sha256 for part in self._deviations.parts)
        return parts, self._cause_digests, attachments and attachments.sha256

    def hash_rows(self, raise_if_cancelled: Callable[[], None]) -> pl.DataFrame:
        """Return the index of each deviating row, with a hash of its outcome and causes; other rows have no outcome."""
        outcomes = pl.concat([_NO_OUTCOMES, *self._iterate_outcomes(raise_if_cancelled)])
        joined = outcomes.join(self._load_missing_attachments(), on=ROW, how="full", coalesce=True)
        return joined.select(ROW, joined.select(OUTCOME, _MISSING).hash_rows(seed=0).alias(OUTCOME))

    def _iterate_outcomes(self, raise_if_cancelled: Callable[[], None]) -> Iterator[pl.DataFrame]:
        for part in self._deviations.parts:
            raise_if_cancelled()
            rows = frame_from_arrow(self._storage.read_part(part))
            digest = pl.element().replace_strict(self._cause_digests, return_dtype=pl.String)
            causes = pl.col(CAUSES).list.eval(digest).list.sort().list.join(" ")
            yield rows.select(
                pl.col(ROW).cast(pl.Int64) + part.rows_before,
                pl.concat_str(OUTCOME, causes, separator=" ").hash(seed=0).alias(OUTCOME),
            )

    def _load_missing_attachments(self) -> pl.DataFrame:
        """Load the rows whose attachments are missing, which is a warning of its own."""
        staged = self._deviations.attachments
        if staged is None:
            return _NO_MISSING_ATTACHMENTS
        names = ["codes", "problem"] if self._includes_texts else ["codes"]
        causes = pl.concat_str(names, separator=" ").hash(seed=0).alias(_MISSING)
        return frame_from_arrow(self._storage.read_part(staged)).select(ROW, causes)

    @property
    def _cause_digests(self) -> Mapping[int, str]:
        """Short texts that are equal for equal causes; the number of a cause differs between column mappings."""
        return {
            cause.number: _digest(cause.code, cause.message if self._includes_texts else "")
            for cause in self._deviations.causes
        }


def load_outcomes(storage: FileStorage, deviations: Deviations, rows: pl.Series) -> pl.DataFrame:
    """Load the outcome and the codes of its causes of those of the rows that are deviations."""
    codes = {cause.number: cause.code for cause in deviations.causes}
    code = pl.element().replace_strict(codes, return_dtype=pl.String)
    chosen, frames = pl.col(ROW).is_in(rows.implode()), [_NO_CODES]
    for part in deviations.parts:
        frame = frame_from_arrow(storage.read_part(part)).with_columns(pl.col(ROW).cast(pl.Int64) + part.rows_before)
        names = pl.col(CAUSES).list.eval(code).list.unique(maintain_order=True).list.join(" ")
        frames.append(frame.filter(chosen).select(ROW, OUTCOME, names.alias(CODES)))
    outcomes = pl.concat(frames)
    if deviations.attachments is None:
        return outcomes
    missing = frame_from_arrow(storage.read_part(deviations.attachments)).filter(chosen)
    joined = outcomes.join(missing.select(ROW, pl.col("codes").alias(_MISSING)), on=ROW, how="full", coalesce=True)
    return joined.select(
        ROW,
        pl.col(OUTCOME).fill_null(DeviationOutcome.WARNING.value),
        pl.concat_str(CODES, _MISSING, separator=" ", ignore_nulls=True).alias(CODES),
    )


def _digest(*texts: str) -> str:
    return blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()
