"""Layers of intermediate columns: when each is dropped, and how much memory a row takes at most."""

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from stafett.column_mapper.program import REASON_INDEX, Layer
from stafett.column_mapper.scope import BUILT_IN_NAMES, SOURCE_FIELDS
from stafett.column_mapper.size_bounds import NOTHING, SizeBound
from stafett.column_mapper.values import Value


def build_layers(layers: Sequence[Sequence[pl.Expr]], outputs: Iterable[pl.Expr]) -> tuple[Layer, ...]:
    """Drop each column after the last layer that uses it, so that a long document does not need a lot of memory."""
    last_uses = {expr.meta.output_name(): index for index, layer in enumerate(layers) for expr in layer}
    for index, layer in enumerate(layers):
        last_uses |= {name: index for expr in layer for name in expr.meta.root_names() if name in last_uses}
    for name in (*BUILT_IN_NAMES, REASON_INDEX, *(name for expr in outputs for name in expr.meta.root_names())):
        last_uses.pop(name, None)
    dropped: dict[int, list[str]] = {}
    for name, index in last_uses.items():
        dropped.setdefault(index, []).append(name)
    return tuple(Layer(tuple(layer), tuple(dropped.get(index, ()))) for index, layer in enumerate(layers))


def bound_row_memory(layers: Sequence[Layer], columns: Mapping[str, Value], outputs: Iterable[SizeBound]) -> SizeBound:
    """Bound the bytes that a row takes while it is mapped, from the columns that are in memory at the same time."""
    live = SizeBound.total(field.size for field in SOURCE_FIELDS.values())
    peaks = [live]
    for layer in layers:
        added = [columns[expr.meta.output_name()] for expr in layer.columns]
        live = SizeBound.total((live, *(value.size for value in added)))
        peaks.append(SizeBound.total((live, *(value.temporary_size for value in added))))
        dropped = SizeBound.total((NOTHING, *(columns[name].size for name in layer.dropped)))
        live = SizeBound.total((live, dropped.scale(-1)))
    return SizeBound.largest([*peaks, SizeBound.total((live, *outputs))])
