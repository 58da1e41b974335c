"""The layout of a report in a workbook."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from stafett.column_mapper.localized import Localized
from stafett.domain.frozen import FrozenModel

CELL_REFERENCE_PATTERN = r"^[A-Z]{1,2}[1-9][0-9]{0,2}\z"
_MAX_SHEET_NAME_LENGTH, _FORBIDDEN_IN_SHEET_NAMES = 31, frozenset("[]:*?/\\\t\n")


def _validate_sheet_name(name: Localized) -> Localized:
    for text in name.model_dump().values():
        if (
            len(text.encode("utf-16-le")) > 2 * _MAX_SHEET_NAME_LENGTH
            or set(text) & _FORBIDDEN_IN_SHEET_NAMES
            or text.strip("'") != text
        ):
            raise ValueError("A sheet name has at most 31 characters, none of []:*?/\\, no tab, and no ' at either end")
        if text.casefold() == "history":
            raise ValueError("Excel reserves the sheet name “History”")
    return name


SheetName = Annotated[Localized, AfterValidator(_validate_sheet_name)]


class Layout(FrozenModel):
    """The names of the sheets, and the position of the report on its sheet."""

    sheet: SheetName = Localized(nb="Rapport", nn="Rapport", en="Report")
    title_rows: Annotated[tuple[Localized, ...], Field(max_length=20)] = ()
    start_cell: Annotated[str, StringConstraints(pattern=CELL_REFERENCE_PATTERN)] = Field(
        "A1", description="The cell of the first header, such as A4. It is below the title rows."
    )
    frozen_header: bool = True
    summary_sheet: SheetName = Localized(nb="Oppsummering", nn="Oppsummering", en="Summary")
    apart_sheet: SheetName = Localized(nb="Teller ikke", nn="Tel ikkje", en="Does not count")
    partial_failures_sheet: SheetName = Localized(nb="Avvik", nn="Avvik", en="Deviations")
    metadata_sheet: SheetName = Localized(nb="Om rapporten", nn="Om rapporten", en="About the report")

    @property
    def header_row(self) -> int:
        return int(self.start_cell.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))

    @model_validator(mode="after")
    def _validate_layout(self) -> Self:
        if self.header_row <= len(self.title_rows):
            raise ValueError("“start_cell” leaves no room for the title rows above the header")
        sheets = (self.sheet, self.summary_sheet, self.apart_sheet, self.partial_failures_sheet, self.metadata_sheet)
        for locale in Localized.model_fields:
            if len({getattr(sheet, locale).casefold() for sheet in sheets}) < len(sheets):
                raise ValueError(f"Two sheets have the same name ({locale})")
        return self
