"""Maps a part slice by slice if mapping it at once would take too much memory.

Every column but those of day windows depends on its own row alone. Day windows are computed for the whole part, from
columns without texts, so that a slice may end within a day and its rows are the same as those of the whole part.
"""

from collections.abc import Iterator, Sequence

import polars as pl

from stafett.activity_frames import cut_into_slices
from stafett.column_mapper.operations.day_windows import WINDOW_KEYS
from stafett.column_mapper.program import FailedCheck, MappedPart, MappingProgram
from stafett.column_mapper.size_bounds import MAX_ROW_BYTES

_MEMORY_PER_BYTE = 3
"""Polars allocates buffers ahead of their use, and the result of a slice is serialised while it is in memory."""


def map_in_slices(
    program: MappingProgram, rows: pl.DataFrame, max_memory_bytes: int | None
) -> Iterator[tuple[pl.DataFrame, MappedPart]]:
    """Map a part in slices that fit into memory; yield each slice with its result, in report order."""
    slices = _cut_rows(program, rows, max_memory_bytes)
    if len(slices) == 1:
        yield rows, program.apply(rows)
    elif program.window_columns:
        yield from _map_with_windows(program, slices)
    else:
        for part in slices:
            yield part, program.apply(part)


def _cut_rows(program: MappingProgram, rows: pl.DataFrame, max_memory_bytes: int | None) -> list[pl.DataFrame]:
    if max_memory_bytes is None or rows.is_empty():
        return [rows]
    row_bytes = rows.select(program.row_memory.to_expr().clip(upper_bound=MAX_ROW_BYTES)).to_series()
    return [rows[positions] for positions in cut_into_slices(row_bytes, max_memory_bytes // _MEMORY_PER_BYTE)]


def _map_with_windows(
    program: MappingProgram, slices: Sequence[pl.DataFrame]
) -> Iterator[tuple[pl.DataFrame, MappedPart]]:
    """Check all slices first, because day windows of the report do not count the rejected rows."""
    marked = [program.mark_too_large_rows(rows) for rows in slices]
    windows = _compute_windows(program, marked)
    checks = [program.run_checks(program.compute_layers(rows)) for rows in _add_windows(marked, windows)]
    remaining = [rows.filter(~rejected) for rows, (_, rejected) in zip(marked, checks, strict=True)]
    if any(rejected.any() for _, rejected in checks):
        windows = _compute_windows(program, remaining)
    for rows, with_windows, (failed_checks, rejected) in zip(
        slices, _add_windows(remaining, windows), checks, strict=True
    ):
        yield rows, _build_part(program, with_windows, failed_checks, rejected)


def _build_part(
    program: MappingProgram, rows: pl.DataFrame, failed_checks: tuple[FailedCheck, ...], rejected: pl.Series
) -> MappedPart:
    return program.build_part(program.compute_layers(rows), failed_checks, rejected)


def _add_windows(slices: Sequence[pl.DataFrame], windows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    first = 0
    for rows in slices:
        yield rows.hstack(windows[first : first + rows.height])
        first += rows.height


def _compute_windows(program: MappingProgram, slices: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Compute the day windows of all rows, layer by layer, with what they use computed slice by slice."""
    keys = pl.concat([rows.select(WINDOW_KEYS) for rows in slices])
    windows = pl.DataFrame(height=keys.height)
    for index, layer in enumerate(program.layers):
        exprs = [expr for expr in layer.columns if expr.meta.output_name() in program.window_columns]
        if exprs:
            used = {name for expr in exprs for name in expr.meta.root_names()} - {*WINDOW_KEYS, *windows.columns}
            inputs = [_compute_inputs(program, rows, index, used) for rows in _add_windows(slices, windows)]
            frame = pl.concat([keys, windows, pl.concat(inputs)], how="horizontal")
            windows = windows.hstack(frame.select(exprs))
    return windows


def _compute_inputs(program: MappingProgram, rows: pl.DataFrame, layer_index: int, names: set[str]) -> pl.DataFrame:
    """Compute columns of earlier layers, and only what they need."""
    layers = program.layers[:layer_index]
    exprs_by_name = {expr.meta.output_name(): expr for layer in layers for expr in layer.columns}
    needed, pending = set[str](), list(names)
    while pending:
        name = pending.pop()
        if name in exprs_by_name and name not in needed and name not in rows.columns:
            needed.add(name)
            pending += exprs_by_name[name].meta.root_names()
    for layer in layers:
        rows = rows.with_columns(expr for expr in layer.columns if expr.meta.output_name() in needed)
        rows = rows.drop(layer.dropped, strict=False)
    return rows.select(sorted(names))
