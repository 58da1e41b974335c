"""Compiles mapping documents to programs, and finds every issue that validation against the schema cannot find."""

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

import polars as pl

from stafett.column_mapper import cells
from stafett.column_mapper.document import (
    ChoiceColumn,
    Column,
    CountMeasure,
    IntegerColumn,
    MappingDocument,
    SumMeasure,
    TextColumn,
    YesNoColumn,
)
from stafett.column_mapper.expression_parser import ExpressionParser
from stafett.column_mapper.issues import InvalidMappingError, MappingIssue
from stafett.column_mapper.layers import bound_row_memory, build_layers
from stafett.column_mapper.localized import Localized
from stafett.column_mapper.messages import OTHER_VALUES, REPAIR_ACTIVITY, REPAIR_NOT_COUNTABLE, Translations
from stafett.column_mapper.operations import OPERATIONS
from stafett.column_mapper.program import (
    REASON_INDEX,
    CompiledReason,
    CompiledSummary,
    MappingProgram,
    OutputColumn,
    RowCheck,
)
from stafett.column_mapper.scope import BUILT_IN_NAMES, COUNTS, REASON, REASON_CODE, SOURCE_FIELDS, Scope
from stafett.column_mapper.size_bounds import MAX_ROW_BYTES, SizeBound
from stafett.column_mapper.values import Value, ValueKind
from stafett.domain.export import Locale
from stafett.domain.json_pointer import PathSegment, format_pointer

_MAX_CYCLE_NAMES, _MAX_ROW_TEXT_UNITS = 6, 300


def compile_mapping(document: MappingDocument, locale: Locale) -> MappingProgram:
    """Compile a document for one language. Raises ``InvalidMappingError`` with all of its issues."""
    compiler = _Compiler(document, locale)
    program = compiler.compile()
    if compiler.issues:
        raise InvalidMappingError(compiler.issues)
    return program


class _Compiler:
    def __init__(self, document: MappingDocument, locale: Locale) -> None:
        self.issues: list[MappingIssue] = []
        self._document = document
        self._locale: Locale = locale
        self._scope = Scope(document, locale)
        self._cell_sizes: list[SizeBound] = []
        self._parser = ExpressionParser(self._scope, OPERATIONS, self.issues)

    def compile(self) -> MappingProgram:
        self._check_names()
        for name in self._sort_by_dependency():
            if name == COUNTS:
                self._compile_counting()
            else:
                self._scope.define(name, self._parser.parse(self._document.values[name], "values", name))
        compiled = [self._compile_column(index, column) for index, column in enumerate(self._document.columns)]
        self._check_row_width()
        checks = [check for _, column_checks in compiled for check in column_checks] + list(self._compile_rules())
        checks.append(cells.build_row_size_check(self._locale))
        summary = self._compile_summary()
        outputs = [*(column.expr for column, _ in compiled), *(check.expr for check in checks)]
        layers = build_layers(self._scope.layers, outputs)
        outputs_memory = [*self._iterate_new_cells(), *(check.memory for check in checks)]
        row_memory = bound_row_memory(layers, self._scope.columns, outputs_memory)
        self._check_row_memory(row_memory)
        return MappingProgram(
            layers=layers,
            window_columns=frozenset(self._scope.window_columns),
            row_memory=row_memory,
            columns=tuple(column for column, _ in compiled),
            checks=tuple(checks),
            reasons=tuple(
                CompiledReason(
                    reason.code,
                    reason.label.in_locale(self._locale),
                    self._get_repair(reason.repair, REPAIR_NOT_COUNTABLE),
                )
                for reason in self._document.counting.reasons
            ),
            excludes_not_countable=self._document.counting.rows_that_do_not_count == "apart",
            summary=summary,
        )

    def _check_names(self) -> None:
        document = self._document
        for name in document.values:
            if _is_reserved(name):
                self._add_issue("reserved_name", f"“{name}” is already the name of a field.", "values", name)
        self._check_unique("id", (("columns", n, "id", c.id) for n, c in enumerate(document.columns)))
        for locale in Localized.model_fields:
            headers = ((n, getattr(c.header, locale)) for n, c in enumerate(document.columns))
            self._check_unique("header", (("columns", n, "header", locale, header) for n, header in headers))
        self._check_unique("code", (("rules", n, "code", r.code) for n, r in enumerate(document.rules)))
        reasons = enumerate(document.counting.reasons)
        self._check_unique("code", (("counting", "reasons", n, "code", r.code) for n, r in reasons))
        for name, options in document.taxonomies.items():
            self._check_unique("code", (("taxonomies", name, n, "code", o.code) for n, o in enumerate(options)))

    def _check_unique(self, field: str, named_paths: Iterable[tuple[PathSegment, ...]]) -> None:
        first_pointers: dict[str, str] = {}
        for *path, name in named_paths:
            pointer = format_pointer(*path)
            first = first_pointers.setdefault(str(name).casefold() if field == "header" else str(name), pointer)
            if first != pointer:
                self._add_issue("not_distinct", f"This {field} is already used at {first}.", *path)

    def _sort_by_dependency(self) -> list[str]:
        """Sort the named values and the counting so that each comes after what it uses.

        The names of a circular reference are left out, so that the rest is still compiled.
        """
        whens: list[Any] = [reason.when for reason in self._document.counting.reasons]
        values = ((name, value) for name, value in self._document.values.items() if not _is_reserved(name))
        references = {name: set(_find_referenced_names(value)) for name, value in values}
        references[COUNTS] = set(_find_referenced_names(whens))
        graph = {
            name: {COUNTS if other in BUILT_IN_NAMES else other for other in others} & references.keys()
            for name, others in references.items()
        }
        in_cycles: set[str] = set()
        while True:
            try:
                return [name for name in TopologicalSorter(graph).static_order() if name not in in_cycles]
            except CycleError as error:
                *cycle, _ = reversed(error.args[1])
                self._add_cycle_issue(cycle)
                in_cycles.update(cycle)
                graph |= {name: set() for name in cycle}

    def _add_cycle_issue(self, cycle: list[str]) -> None:
        shown = cycle if len(cycle) <= _MAX_CYCLE_NAMES else [*cycle[:_MAX_CYCLE_NAMES], "…"]
        chain = " needs ".join(f"“{name}”" for name in [*shown, cycle[0]])
        path = ("counting", "reasons") if cycle[0] == COUNTS else ("values", cycle[0])
        self._add_issue("circle", f"Circular reference: {chain}.", *path)
        for name in cycle:
            for defined in BUILT_IN_NAMES if name == COUNTS else (name,):
                self._scope.mark_invalid(defined)

    def _compile_counting(self) -> None:
        """Compile each row's reason index: that of the first reason that applies. A row without one counts."""
        reasons = self._document.counting.reasons
        whens = [
            self._parser.parse_as([ValueKind.BOOLEAN], reason.when, "counting", "reasons", index, "when")
            for index, reason in enumerate(reasons)
        ]
        expr = pl.lit(None, dtype=pl.Int32)
        for index, when in reversed(list(enumerate(whens))):
            expr = pl.when(when.expr).then(pl.lit(index, dtype=pl.Int32)).otherwise(expr)
        layer = max((when.layer for when in whens), default=0)
        reason_index = self._scope.materialise(REASON_INDEX, Value(ValueKind.INTEGER, expr, layer))
        self._scope.define_built_in(COUNTS, Value(ValueKind.BOOLEAN, reason_index.expr.is_null(), reason_index.layer))
        codes = [reason.code for reason in reasons]
        labels = [reason.label.in_locale(self._locale) for reason in reasons]
        size = SizeBound.largest(reason.label.size for reason in reasons)
        for name, texts in ((REASON_CODE, codes), (REASON, labels)):
            text = pl.lit(None, pl.String)
            if texts:
                text = pl.lit(pl.Series(texts, dtype=pl.String)).gather(reason_index.expr)
            value = Value(ValueKind.TEXT, text, reason_index.layer, size=size)
            self._scope.define_built_in(name, value)

    def _compile_column(self, index: int, column: Column) -> tuple[OutputColumn, list[RowCheck]]:
        path = ("columns", index)
        value = self._parser.parse_as(cells.accepted_kinds(column), column.value, *path, "value")
        self._cell_sizes.append(self._bound_cell(column, value))
        value = self._scope.materialise(f"column {column.id}", value)
        required = self._parser.parse_as([ValueKind.BOOLEAN], column.required, *path, "required")
        checks = cells.build_required_checks(column, value, required, self._locale)
        if isinstance(column, TextColumn):
            checks.append(cells.build_cell_length_check(column, value, self._locale))
        if isinstance(column, ChoiceColumn):
            self._check_choice(column, *path)
            checks += cells.build_choice_checks(
                column, value, self._scope.taxonomies.get(column.options, {}), self._locale
            )
        return OutputColumn(
            column.header.in_locale(self._locale), cells.build_output_expr(column, value, self._scope)
        ), checks

    def _bound_cell(self, column: Column, value: Value) -> SizeBound:
        match column:
            case ChoiceColumn():
                return SizeBound.largest((value.size, self._scope.label_sizes.get(column.options, SizeBound())))
            case YesNoColumn():
                return SizeBound.largest((column.labels.yes.size, column.labels.no.size))
            case _:
                return value.size

    def _iterate_new_cells(self) -> Iterator[SizeBound]:
        """Yield the sizes of the cells. A text cell is the column's own text."""
        for column, size in zip(self._document.columns, self._cell_sizes, strict=True):
            yield SizeBound() if isinstance(column, TextColumn) else size

    def _check_row_width(self) -> None:
        """Limit the length of a row, because whole parts of the report are in memory while they are written."""
        if SizeBound.total(self._cell_sizes).text_units > _MAX_ROW_TEXT_UNITS:
            limit = _MAX_ROW_TEXT_UNITS
            detail = f"A row could become too long: more than {limit} fields or {limit * 100:,} characters of text."
            self._add_issue("too_wide", detail, "columns")

    def _check_row_memory(self, row_memory: SizeBound) -> None:
        """Refuse a document that could need too much memory for a single row, at the value that needs the most."""
        if row_memory.max_bytes > MAX_ROW_BYTES:
            limit = f"{MAX_ROW_BYTES // 1024**2} MiB"
            detail = f"Mapping one row could take more than {limit} of memory, most of it for this value."
            self._add_issue("too_much_memory", detail, *self._find_largest_value())

    def _find_largest_value(self) -> tuple[PathSegment, ...]:
        """Return the path of the named value or column that takes the most memory."""
        paths: dict[str, tuple[PathSegment, ...]] = {
            f"value {name}": ("values", name) for name in self._document.values
        }
        paths |= {
            f"column {column.id}": ("columns", index, "value") for index, column in enumerate(self._document.columns)
        }
        sizes = {name: value.memory.max_bytes for name, value in self._scope.columns.items() if name in paths}
        return paths[max(sizes, key=lambda name: sizes[name])]

    def _check_choice(self, column: ChoiceColumn, *path: PathSegment) -> None:
        options = self._scope.taxonomies.get(column.options)
        if options is None:
            self._add_issue("unknown_table", f"There is no taxonomy “{column.options}”.", *path, "options")
        if (column.unknown == "fallback") != (column.fallback is not None):
            detail = "“fallback” is required if “unknown” is “fallback”, and not allowed otherwise."
            self._add_issue("fallback", detail, *path, "fallback" if column.fallback is not None else "unknown")
        elif column.fallback is not None and options is not None and column.fallback not in options:
            self._add_issue("fallback", f"The taxonomy “{column.options}” has no such code.", *path, "fallback")

    def _compile_rules(self) -> Iterator[RowCheck]:
        columns = {column.id for column in self._document.columns}
        for index, rule in enumerate(self._document.rules):
            when = self._parser.parse_as([ValueKind.BOOLEAN], rule.when, "rules", index, "when")
            if rule.column is not None and rule.column not in columns:
                self._add_issue("unknown_name", f"There is no column “{rule.column}”.", "rules", index, "column")
            yield RowCheck(
                rule.code,
                rule.column,
                rule.severity == "reject",
                rule.message.in_locale(self._locale),
                when.null_as_false,
                when.memory,
                self._get_repair(rule.repair, REPAIR_ACTIVITY),
            )

    def _get_repair(self, repair: Localized | None, default: Translations) -> str:
        return repair.in_locale(self._locale) if repair else default[self._locale]

    def _compile_summary(self) -> CompiledSummary | None:
        summary = self._document.summary
        if summary is None:
            return None
        columns = {column.id: (index, column) for index, column in enumerate(self._document.columns)}
        by, column = columns.get(summary.by, (0, None))
        if not isinstance(column, YesNoColumn | ChoiceColumn):
            self._add_issue("wrong_column", "Expected the id of a yes_no or choice column.", "summary", "by")
        if isinstance(column, ChoiceColumn):
            self._check_unique_labels(column.options)
        measures: list[pl.Expr] = []
        for index, measure in enumerate(summary.measures):
            if isinstance(measure, SumMeasure) and not isinstance(
                columns.get(measure.sum, (0, None))[1], IntegerColumn
            ):
                self._add_issue(
                    "wrong_column", "Expected the id of an integer column.", "summary", "measures", index, "sum"
                )
                continue
            measures.append(_compile_measure(measure, {name: position for name, (position, _) in columns.items()}))
        return CompiledSummary(by, self._summary_labels(column), OTHER_VALUES[self._locale], tuple(measures))

    def _summary_labels(self, column: Column | None) -> tuple[str, ...]:
        match column:
            case ChoiceColumn():
                return tuple(self._scope.taxonomies.get(column.options, {}).values())
            case YesNoColumn():
                return tuple(label.in_locale(self._locale) for label in (column.labels.yes, column.labels.no))
            case _:
                return ()

    def _check_unique_labels(self, taxonomy: str) -> None:
        """Require distinct labels, because a summary groups rows by label."""
        for locale in Localized.model_fields:
            labels = ((n, getattr(o.label, locale)) for n, o in enumerate(self._document.taxonomies.get(taxonomy, ())))
            self._check_unique("label", (("taxonomies", taxonomy, n, "label", locale, label) for n, label in labels))

    def _add_issue(self, code: str, detail: str, *path: PathSegment) -> None:
        self.issues.append(MappingIssue(pointer=format_pointer(*path), code=code, detail=detail))


def _is_reserved(name: str) -> bool:
    return name in SOURCE_FIELDS or name in BUILT_IN_NAMES


def _compile_measure(measure: CountMeasure | SumMeasure, column_indices: dict[str, int]) -> pl.Expr:
    match measure:
        case SumMeasure():
            return pl.col(f"cell {column_indices[measure.sum]}").cast(pl.Int128).sum()
        case CountMeasure(count="rows"):
            return pl.len()
        case CountMeasure(count="countable"):
            return pl.col(COUNTS).sum()
        case CountMeasure():
            return pl.col(COUNTS).not_().sum()


def _find_referenced_names(expression: Any) -> Iterator[str]:
    """Yield every name that an expression uses. Invalid names are left for the parser to report."""
    pending = [expression]
    while pending:
        match pending.pop():
            case {"var": str(name)} | {"var": [str(name)]}:
                yield name
            case {"var": [str(name), *others]}:
                yield name
                pending.extend(others)
            case dict() as operation:
                pending.extend(operation.values())
            case list() as items:
                pending.extend(items)
            case _:
                pass
