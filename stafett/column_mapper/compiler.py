"""From document to program: everything that can be wrong with a document is found here, before any row is read."""

from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import polars as pl

from stafett.column_mapper import cells
from stafett.column_mapper.document import (
    ChoiceColumn,
    Column,
    IntegerColumn,
    MappingDocument,
    RowMeasure,
    SumMeasure,
    TextColumn,
    YesNoColumn,
)
from stafett.column_mapper.expression_parser import Reader
from stafett.column_mapper.issues import InvalidMappingError, MappingFault
from stafett.column_mapper.localized import Localized
from stafett.column_mapper.operations import OPERATIONS
from stafett.column_mapper.program import REASON_NUMBER, Cell, Judgement, Layer, MappingProgram, Reason, Summary
from stafett.column_mapper.scope import BUILT_IN, COUNTS, FIELDS, REASON, REASON_CODE, Scope
from stafett.column_mapper.values import Kind, Value
from stafett.domain.export import Locale
from stafett.domain.json_pointer import Step, pointer

_LONGEST_CIRCLE, _WIDEST = 6, 300


def compile_mapping(document: MappingDocument, locale: Locale) -> MappingProgram:
    """The document as a program in one language, or every fault in it."""
    compiler = _Compiler(document, locale)
    program = compiler.program()
    if compiler.faults:
        raise InvalidMappingError(compiler.faults)
    return program


class _Compiler:
    def __init__(self, document: MappingDocument, locale: Locale) -> None:
        self.faults: list[MappingFault] = []
        self._document = document
        self._locale: Locale = locale
        self._scope = Scope(document, locale)
        self._width = 0.0
        self._reader = Reader(self._scope, OPERATIONS, self.faults)

    def program(self) -> MappingProgram:
        self._check_names()
        for name in self._in_order():
            if name == COUNTS:
                self._count()
            else:
                self._scope.define(name, self._reader.read(self._document.values[name], "values", name))
        made = [self._column(number, column) for number, column in enumerate(self._document.columns)]
        self._check_width()
        judgements = [judgement for _, judged in made for judgement in judged] + list(self._rules())
        summary = self._summary()
        needed = [*(cell.expr for cell, _ in made), *(judgement.expr for judgement in judgements)]
        return MappingProgram(
            layers=_layered(self._scope.layers, needed),
            looks_at_days=self._scope.looks_at_days,
            cells=tuple(cell for cell, _ in made),
            judgements=tuple(judgements),
            reasons=tuple(Reason(r.code, r.label.in_(self._locale)) for r in self._document.counting.reasons),
            lists_apart=self._document.counting.rows_that_do_not_count == "apart",
            summary=summary,
        )

    def _check_names(self) -> None:
        document = self._document
        for name in document.values:
            if _is_reserved(name):
                self._fault("reserved_name", f"“{name}” is the name of a field already.", "values", name)
        self._each_once("id", (("columns", n, "id", c.id) for n, c in enumerate(document.columns)))
        for locale in Localized.model_fields:
            headers = ((n, getattr(c.header, locale)) for n, c in enumerate(document.columns))
            self._each_once("header", (("columns", n, "header", locale, header) for n, header in headers))
        self._each_once("code", (("rules", n, "code", r.code) for n, r in enumerate(document.rules)))
        reasons = enumerate(document.counting.reasons)
        self._each_once("code", (("counting", "reasons", n, "code", r.code) for n, r in reasons))
        for name, options in document.taxonomies.items():
            self._each_once("code", (("taxonomies", name, n, "code", o.code) for n, o in enumerate(options)))

    def _each_once(self, what: str, named: Iterable[tuple[Step, ...]]) -> None:
        seen: dict[str, str] = {}
        for *place, name in named:
            first = seen.setdefault(str(name).casefold() if what == "header" else str(name), pointer(*place))
            if first != pointer(*place):
                self._fault("not_distinct", f"This {what} is used already, at {first}.", *place)

    def _in_order(self) -> list[str]:
        """Values and the counting, each after what it needs; of a circle, one is given up so that the rest is read."""
        whens: list[Any] = [reason.when for reason in self._document.counting.reasons]
        values = ((name, value) for name, value in self._document.values.items() if not _is_reserved(name))
        needs = {name: set(_names_in(value)) for name, value in values}
        needs[COUNTS] = set(_names_in(whens))
        graph = {
            name: {COUNTS if other in BUILT_IN else other for other in others} & needs.keys()
            for name, others in needs.items()
        }
        given_up: set[str] = set()
        while True:
            try:
                return [name for name in TopologicalSorter(graph).static_order() if name not in given_up]
            except CycleError as error:
                *circle, _ = reversed(error.args[1])
                self._fault_of_circle(circle)
                given_up.update(circle)
                graph |= {name: set() for name in circle}

    def _fault_of_circle(self, circle: list[str]) -> None:
        shown = circle if len(circle) <= _LONGEST_CIRCLE else [*circle[:_LONGEST_CIRCLE], "…"]
        needs = " needs ".join(f"“{name}”" for name in [*shown, circle[0]])
        place = ("counting", "reasons") if circle[0] == COUNTS else ("values", circle[0])
        self._fault("circle", f"These need one another: {needs}.", *place)
        for name in circle:
            for known in BUILT_IN if name == COUNTS else (name,):
                self._scope.poison(known)

    def _count(self) -> None:
        """The first reason that applies is a row's; none, and it counts."""
        reasons = self._document.counting.reasons
        whens = [
            self._reader.read_as([Kind.BOOLEAN], reason.when, "counting", "reasons", number, "when")
            for number, reason in enumerate(reasons)
        ]
        expr = pl.lit(None, dtype=pl.Int32)
        for place, when in reversed(list(enumerate(whens))):
            expr = pl.when(when.expr).then(pl.lit(place, dtype=pl.Int32)).otherwise(expr)
        layer = max((when.layer for when in whens), default=0)
        number = self._scope.kept(REASON_NUMBER, Value(Kind.INTEGER, expr, layer))
        self._scope.built_in(COUNTS, Value(Kind.BOOLEAN, number.expr.is_null(), number.layer))
        codes = [reason.code for reason in reasons]
        labels = [reason.label.in_(self._locale) for reason in reasons]
        size = max((reason.label.size for reason in reasons), default=0)
        for name, words in ((REASON_CODE, codes), (REASON, labels)):
            said = pl.lit(pl.Series(words, dtype=pl.String)).gather(number.expr) if words else pl.lit(None, pl.String)
            self._scope.built_in(name, Value(Kind.TEXT, said, number.layer, size=size))

    def _column(self, number: int, column: Column) -> tuple[Cell, list[Judgement]]:
        place = ("columns", number)
        value = self._reader.read_as(cells.takes(column), column.value, *place, "value")
        self._width += self._written_size(column, value)
        value = self._scope.kept(f"column {column.id}", value)
        required = self._reader.read_as([Kind.BOOLEAN], column.required, *place, "required")
        judgements = cells.missing(column, value, required, self._locale)
        if isinstance(column, TextColumn):
            judgements.append(cells.too_long_for_a_cell(column, value, self._locale))
        if isinstance(column, ChoiceColumn):
            self._check_choice(column, *place)
            judgements += cells.unknown(column, value, self._scope.taxonomies.get(column.options, {}), self._locale)
        return Cell(column.header.in_(self._locale), cells.written(column, value, self._scope)), judgements

    def _written_size(self, column: Column, value: Value) -> float:
        match column:
            case ChoiceColumn():
                return max(value.size, self._scope.label_sizes.get(column.options, 0))
            case YesNoColumn():
                return max(column.labels.yes.size, column.labels.no.size)
            case _:
                return value.size

    def _check_width(self) -> None:
        """Whole parts of the report are held in memory while they are written."""
        if self._width > _WIDEST:
            detail = f"A row could become longer than {_WIDEST} times the longest field or a hundred characters."
            self._fault("too_wide", detail, "columns")

    def _check_choice(self, column: ChoiceColumn, *place: Step) -> None:
        options = self._scope.taxonomies.get(column.options)
        if options is None:
            self._fault("unknown_table", f"There is no taxonomy “{column.options}”.", *place, "options")
        if (column.unknown == "fallback") != (column.fallback is not None):
            detail = "“fallback” names a code if “unknown” is “fallback”, and only then."
            self._fault("fallback", detail, *place, "fallback" if column.fallback is not None else "unknown")
        elif column.fallback is not None and options is not None and column.fallback not in options:
            self._fault("fallback", f"The taxonomy “{column.options}” has no such code.", *place, "fallback")

    def _rules(self) -> Iterator[Judgement]:
        columns = {column.id for column in self._document.columns}
        for number, rule in enumerate(self._document.rules):
            when = self._reader.read_as([Kind.BOOLEAN], rule.when, "rules", number, "when")
            if rule.column is not None and rule.column not in columns:
                self._fault("unknown_name", f"There is no column “{rule.column}”.", "rules", number, "column")
            yield Judgement(
                rule.code, rule.column, rule.severity == "reject", rule.message.in_(self._locale), when.truth
            )

    def _summary(self) -> Summary | None:
        summary = self._document.summary
        if summary is None:
            return None
        columns = {column.id: (number, column) for number, column in enumerate(self._document.columns)}
        by, column = columns.get(summary.by, (0, None))
        if not (isinstance(column, YesNoColumn) or (isinstance(column, ChoiceColumn) and column.unknown != "keep")):
            detail = "Expected the id of a yes_no column, or of a choice column that keeps no unknown values."
            self._fault("wrong_column", detail, "summary", "by")
        if isinstance(column, ChoiceColumn):
            self._check_labels(column.options)
        measures: list[pl.Expr] = []
        for number, measure in enumerate(summary.measures):
            if isinstance(measure, SumMeasure) and not isinstance(
                columns.get(measure.sum, (0, None))[1], IntegerColumn
            ):
                self._fault(
                    "wrong_column", "Expected the id of an integer column.", "summary", "measures", number, "sum"
                )
                continue
            measures.append(_measured(measure, {name: place for name, (place, _) in columns.items()}))
        return Summary(by, self._labels_of(column), tuple(measures))

    def _labels_of(self, column: Column | None) -> tuple[str, ...]:
        match column:
            case ChoiceColumn():
                return tuple(self._scope.taxonomies.get(column.options, {}).values())
            case YesNoColumn():
                return tuple(label.in_(self._locale) for label in (column.labels.yes, column.labels.no))
            case _:
                return ()

    def _check_labels(self, options: str) -> None:
        """What a summary is by has to be told apart by its label alone."""
        for locale in Localized.model_fields:
            labels = ((n, getattr(o.label, locale)) for n, o in enumerate(self._document.taxonomies.get(options, ())))
            self._each_once("label", (("taxonomies", options, n, "label", locale, label) for n, label in labels))

    def _fault(self, code: str, detail: str, *place: Step) -> None:
        self.faults.append(MappingFault(pointer=pointer(*place), code=code, detail=detail))


def _layered(layers: Sequence[Sequence[pl.Expr]], needed: Iterable[pl.Expr]) -> tuple[Layer, ...]:
    """Each layer forgets what was needed for the last time, so that a long document is not a large one."""
    last = {expr.meta.output_name(): number for number, layer in enumerate(layers) for expr in layer}
    for number, layer in enumerate(layers):
        last |= {name: number for expr in layer for name in expr.meta.root_names() if name in last}
    for name in (*BUILT_IN, REASON_NUMBER, *(name for expr in needed for name in expr.meta.root_names())):
        last.pop(name, None)
    forgotten: dict[int, list[str]] = {}
    for name, number in last.items():
        forgotten.setdefault(number, []).append(name)
    return tuple(Layer(tuple(layer), tuple(forgotten.get(number, ()))) for number, layer in enumerate(layers))


def _is_reserved(name: str) -> bool:
    return name in FIELDS or name in BUILT_IN


def _measured(measure: RowMeasure | SumMeasure, places: dict[str, int]) -> pl.Expr:
    match measure:
        case SumMeasure():
            return pl.col(f"cell {places[measure.sum]}").cast(pl.Int128).sum()
        case RowMeasure(count="rows"):
            return pl.len()
        case RowMeasure(count="countable"):
            return pl.col(COUNTS).sum()
        case RowMeasure():
            return pl.col(COUNTS).not_().sum()


def _names_in(expression: Any) -> Iterator[str]:
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
