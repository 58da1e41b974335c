"""From document to program: everything that can be wrong with a document is found here, before any row is read."""

from collections.abc import Iterable, Iterator, Sequence
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
from stafett.column_mapper.localized import Localized
from stafett.column_mapper.operations import OPERATIONS
from stafett.column_mapper.program import (
    REASON_INDEX,
    CompiledReason,
    CompiledSummary,
    Layer,
    MappingProgram,
    OutputColumn,
    RowCheck,
)
from stafett.column_mapper.scope import BUILT_IN_NAMES, COUNTS, REASON, REASON_CODE, SOURCE_FIELDS, Scope
from stafett.column_mapper.values import Value, ValueKind
from stafett.domain.export import Locale
from stafett.domain.json_pointer import PathSegment, format_pointer

_MAX_CYCLE_NAMES, _MAX_ROW_TEXT_UNITS = 6, 300


def compile_mapping(document: MappingDocument, locale: Locale) -> MappingProgram:
    """The document as a program in one language, or every fault in it."""
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
        self._row_text_units = 0.0
        self._parser = ExpressionParser(self._scope, OPERATIONS, self.issues)

    def compile(self) -> MappingProgram:
        self._check_names()
        for name in self._sort_by_dependency():
            if name == COUNTS:
                self._compile_counting()
            else:
                self._scope.define(name, self._parser.parse(self._document.values[name], "values", name))
        made = [self._compile_column(number, column) for number, column in enumerate(self._document.columns)]
        self._check_row_width()
        judgements = [judgement for _, judged in made for judgement in judged] + list(self._compile_rules())
        summary = self._compile_summary()
        needed = [*(cell.expr for cell, _ in made), *(judgement.expr for judgement in judgements)]
        return MappingProgram(
            layers=_build_layers(self._scope.layers, needed),
            uses_day_windows=self._scope.uses_day_windows,
            columns=tuple(cell for cell, _ in made),
            checks=tuple(judgements),
            reasons=tuple(
                CompiledReason(r.code, r.label.in_locale(self._locale)) for r in self._document.counting.reasons
            ),
            excludes_not_countable=self._document.counting.rows_that_do_not_count == "apart",
            summary=summary,
        )

    def _check_names(self) -> None:
        document = self._document
        for name in document.values:
            if _is_reserved(name):
                self._add_issue("reserved_name", f"“{name}” is the name of a field already.", "values", name)
        self._check_unique("id", (("columns", n, "id", c.id) for n, c in enumerate(document.columns)))
        for locale in Localized.model_fields:
            headers = ((n, getattr(c.header, locale)) for n, c in enumerate(document.columns))
            self._check_unique("header", (("columns", n, "header", locale, header) for n, header in headers))
        self._check_unique("code", (("rules", n, "code", r.code) for n, r in enumerate(document.rules)))
        reasons = enumerate(document.counting.reasons)
        self._check_unique("code", (("counting", "reasons", n, "code", r.code) for n, r in reasons))
        for name, options in document.taxonomies.items():
            self._check_unique("code", (("taxonomies", name, n, "code", o.code) for n, o in enumerate(options)))

    def _check_unique(self, what: str, named_paths: Iterable[tuple[PathSegment, ...]]) -> None:
        seen: dict[str, str] = {}
        for *place, name in named_paths:
            first = seen.setdefault(str(name).casefold() if what == "header" else str(name), format_pointer(*place))
            if first != format_pointer(*place):
                self._add_issue("not_distinct", f"This {what} is used already, at {first}.", *place)

    def _sort_by_dependency(self) -> list[str]:
        """Values and the counting, each after what it needs; of a circle, one is given up so that the rest is read."""
        whens: list[Any] = [reason.when for reason in self._document.counting.reasons]
        values = ((name, value) for name, value in self._document.values.items() if not _is_reserved(name))
        needs = {name: set(_find_referenced_names(value)) for name, value in values}
        needs[COUNTS] = set(_find_referenced_names(whens))
        graph = {
            name: {COUNTS if other in BUILT_IN_NAMES else other for other in others} & needs.keys()
            for name, others in needs.items()
        }
        given_up: set[str] = set()
        while True:
            try:
                return [name for name in TopologicalSorter(graph).static_order() if name not in given_up]
            except CycleError as error:
                *circle, _ = reversed(error.args[1])
                self._add_cycle_issue(circle)
                given_up.update(circle)
                graph |= {name: set() for name in circle}

    def _add_cycle_issue(self, cycle: list[str]) -> None:
        shown = cycle if len(cycle) <= _MAX_CYCLE_NAMES else [*cycle[:_MAX_CYCLE_NAMES], "…"]
        needs = " needs ".join(f"“{name}”" for name in [*shown, cycle[0]])
        place = ("counting", "reasons") if cycle[0] == COUNTS else ("values", cycle[0])
        self._add_issue("circle", f"These need one another: {needs}.", *place)
        for name in cycle:
            for known in BUILT_IN_NAMES if name == COUNTS else (name,):
                self._scope.mark_invalid(known)

    def _compile_counting(self) -> None:
        """The first reason that applies is a row's; none, and it counts."""
        reasons = self._document.counting.reasons
        whens = [
            self._parser.parse_as([ValueKind.BOOLEAN], reason.when, "counting", "reasons", number, "when")
            for number, reason in enumerate(reasons)
        ]
        expr = pl.lit(None, dtype=pl.Int32)
        for place, when in reversed(list(enumerate(whens))):
            expr = pl.when(when.expr).then(pl.lit(place, dtype=pl.Int32)).otherwise(expr)
        layer = max((when.layer for when in whens), default=0)
        number = self._scope.materialise(REASON_INDEX, Value(ValueKind.INTEGER, expr, layer))
        self._scope.define_built_in(COUNTS, Value(ValueKind.BOOLEAN, number.expr.is_null(), number.layer))
        codes = [reason.code for reason in reasons]
        labels = [reason.label.in_locale(self._locale) for reason in reasons]
        size = max((reason.label.max_text_units for reason in reasons), default=0)
        for name, words in ((REASON_CODE, codes), (REASON, labels)):
            said = pl.lit(pl.Series(words, dtype=pl.String)).gather(number.expr) if words else pl.lit(None, pl.String)
            self._scope.define_built_in(name, Value(ValueKind.TEXT, said, number.layer, max_text_units=size))

    def _compile_column(self, number: int, column: Column) -> tuple[OutputColumn, list[RowCheck]]:
        place = ("columns", number)
        value = self._parser.parse_as(cells.accepted_kinds(column), column.value, *place, "value")
        self._row_text_units += self._column_text_units(column, value)
        value = self._scope.materialise(f"column {column.id}", value)
        required = self._parser.parse_as([ValueKind.BOOLEAN], column.required, *place, "required")
        judgements = cells.check_required(column, value, required, self._locale)
        if isinstance(column, TextColumn):
            judgements.append(cells.check_cell_length(column, value, self._locale))
        if isinstance(column, ChoiceColumn):
            self._check_choice(column, *place)
            judgements += cells.check_choice(
                column, value, self._scope.taxonomies.get(column.options, {}), self._locale
            )
        return OutputColumn(
            column.header.in_locale(self._locale), cells.build_output_expr(column, value, self._scope)
        ), judgements

    def _column_text_units(self, column: Column, value: Value) -> float:
        match column:
            case ChoiceColumn():
                return max(value.max_text_units, self._scope.max_label_units.get(column.options, 0))
            case YesNoColumn():
                return max(column.labels.yes.max_text_units, column.labels.no.max_text_units)
            case _:
                return value.max_text_units

    def _check_row_width(self) -> None:
        """Whole parts of the report are held in memory while they are written."""
        if self._row_text_units > _MAX_ROW_TEXT_UNITS:
            detail = (
                f"A row could become longer than {_MAX_ROW_TEXT_UNITS} times the longest field or a hundred characters."
            )
            self._add_issue("too_wide", detail, "columns")

    def _check_choice(self, column: ChoiceColumn, *path: PathSegment) -> None:
        options = self._scope.taxonomies.get(column.options)
        if options is None:
            self._add_issue("unknown_table", f"There is no taxonomy “{column.options}”.", *path, "options")
        if (column.unknown == "fallback") != (column.fallback is not None):
            detail = "“fallback” names a code if “unknown” is “fallback”, and only then."
            self._add_issue("fallback", detail, *path, "fallback" if column.fallback is not None else "unknown")
        elif column.fallback is not None and options is not None and column.fallback not in options:
            self._add_issue("fallback", f"The taxonomy “{column.options}” has no such code.", *path, "fallback")

    def _compile_rules(self) -> Iterator[RowCheck]:
        columns = {column.id for column in self._document.columns}
        for number, rule in enumerate(self._document.rules):
            when = self._parser.parse_as([ValueKind.BOOLEAN], rule.when, "rules", number, "when")
            if rule.column is not None and rule.column not in columns:
                self._add_issue("unknown_name", f"There is no column “{rule.column}”.", "rules", number, "column")
            yield RowCheck(
                rule.code,
                rule.column,
                rule.severity == "reject",
                rule.message.in_locale(self._locale),
                when.null_as_false,
            )

    def _compile_summary(self) -> CompiledSummary | None:
        summary = self._document.summary
        if summary is None:
            return None
        columns = {column.id: (number, column) for number, column in enumerate(self._document.columns)}
        by, column = columns.get(summary.by, (0, None))
        if not (isinstance(column, YesNoColumn) or (isinstance(column, ChoiceColumn) and column.unknown != "keep")):
            detail = "Expected the id of a yes_no column, or of a choice column that keeps no unknown values."
            self._add_issue("wrong_column", detail, "summary", "by")
        if isinstance(column, ChoiceColumn):
            self._check_unique_labels(column.options)
        measures: list[pl.Expr] = []
        for number, measure in enumerate(summary.measures):
            if isinstance(measure, SumMeasure) and not isinstance(
                columns.get(measure.sum, (0, None))[1], IntegerColumn
            ):
                self._add_issue(
                    "wrong_column", "Expected the id of an integer column.", "summary", "measures", number, "sum"
                )
                continue
            measures.append(_compile_measure(measure, {name: place for name, (place, _) in columns.items()}))
        return CompiledSummary(by, self._summary_labels(column), tuple(measures))

    def _summary_labels(self, column: Column | None) -> tuple[str, ...]:
        match column:
            case ChoiceColumn():
                return tuple(self._scope.taxonomies.get(column.options, {}).values())
            case YesNoColumn():
                return tuple(label.in_locale(self._locale) for label in (column.labels.yes, column.labels.no))
            case _:
                return ()

    def _check_unique_labels(self, taxonomy: str) -> None:
        """What a summary is by has to be told apart by its label alone."""
        for locale in Localized.model_fields:
            labels = ((n, getattr(o.label, locale)) for n, o in enumerate(self._document.taxonomies.get(taxonomy, ())))
            self._check_unique("label", (("taxonomies", taxonomy, n, "label", locale, label) for n, label in labels))

    def _add_issue(self, code: str, detail: str, *path: PathSegment) -> None:
        self.issues.append(MappingIssue(pointer=format_pointer(*path), code=code, detail=detail))


def _build_layers(layers: Sequence[Sequence[pl.Expr]], outputs: Iterable[pl.Expr]) -> tuple[Layer, ...]:
    """Each layer forgets what was needed for the last time, so that a long document is not a large one."""
    last = {expr.meta.output_name(): number for number, layer in enumerate(layers) for expr in layer}
    for number, layer in enumerate(layers):
        last |= {name: number for expr in layer for name in expr.meta.root_names() if name in last}
    for name in (*BUILT_IN_NAMES, REASON_INDEX, *(name for expr in outputs for name in expr.meta.root_names())):
        last.pop(name, None)
    forgotten: dict[int, list[str]] = {}
    for name, number in last.items():
        forgotten.setdefault(number, []).append(name)
    return tuple(Layer(tuple(layer), tuple(forgotten.get(number, ()))) for number, layer in enumerate(layers))


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
    """Every name an expression uses; faulty ones are the reader's to find."""
    waiting = [expression]
    while waiting:
        match waiting.pop():
            case {"var": str(name)} | {"var": [str(name)]}:
                yield name
            case {"var": [str(name), *others]}:
                yield name
                waiting.extend(others)
            case dict() as operation:
                waiting.extend(operation.values())
            case list() as several:
                waiting.extend(several)
            case _:
                pass
