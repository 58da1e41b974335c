"""A handmade Excel template that resembles NHF's reporting template, because no real one is available.

Its texts and lists are written out here, independently of NHF's mapping document, so that comparing the two is a test
of both.
"""

from pathlib import Path

from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

SHEET, LISTS = "Likepersonsaktivitet", "Valg"
HEADER_ROW = 4
HEADERS = (
    "Dato",
    "Kategori",
    "Aktivitetstype",
    "Starttid",
    "Varighet (minutter)",
    "Timer",
    "Likeperson",
    "Sted",
    "Deltakere",
    "Nye deltakere",
    "Gruppestørrelse",
    "Fysisk møte",
    "I Norge",
    "Registrert av koordinator",
    "Vedlegg",
    "Tellende",
    "Teller ikke fordi",
    "Merknad",
    "Aktivitets-ID",
)
CATEGORIES = (
    "Individuelt likepersonsarbeid",
    "Likepersonsarbeid i gruppe",
    "Opplæring av likepersoner",
    "Øvrig aktivitet",
)
TYPES = (
    "Oppsøkende samtale",
    "Samtalegruppe",
    "Aktivitetsgruppe",
    "Likepersonskurs",
    "Telefonsamtale",
    "Digital samtale",
    "Besøk",
    "Annet",
)
SIZES = (
    "Ingen deltakere",
    "En til en",
    "2 deltakere",
    "3–12 deltakere",  # noqa: RUF001 - correct typography
    "Mer enn 12 deltakere",
)
YES_NO = ("Fysisk møte", "I Norge", "Registrert av koordinator", "Tellende")


class NhfTemplate:
    """The template before it is saved, for tests that make a mistake in it first."""

    def __init__(self) -> None:
        self.book = Workbook()
        self.sheet = self.book.worksheets[0]
        self.sheet.title = SHEET
        self.sheet["A1"], self.sheet["A2"] = "Norges Handikapforbund", "Likepersonsaktivitet, rapport til Bufdir"
        for column, text in enumerate(HEADERS, start=1):
            self.sheet.cell(HEADER_ROW, column, text)
        self.lists = self._write_lists()
        self._set_lists()
        self.sheet.freeze_panes = "A5"

    def find_column(self, header: str) -> str:
        return next(get_column_letter(cell.column) for cell in self.sheet[HEADER_ROW] if cell.value == header)

    def write(self, cell: str, text: str) -> None:
        self.sheet[cell] = text

    def set_list(self, header: str, formula: str) -> None:
        """Replace the validation list of the column."""
        cells = f"{self.find_column(header)}5:{self.find_column(header)}500"
        validations = self.sheet.data_validations.dataValidation
        validations[:] = [validation for validation in validations if str(validation.sqref) != cells]
        self.sheet.add_data_validation(DataValidation(type="list", formula1=formula, sqref=cells))

    def save(self, folder: Path) -> Path:
        path = folder / "mal.xlsx"
        self.book.save(path)
        return path

    def _write_lists(self) -> Worksheet:
        lists: Worksheet = self.book.create_sheet(LISTS)
        lists.sheet_state = "hidden"
        for column, values in enumerate((TYPES, SIZES), start=1):
            for row, value in enumerate(values, start=1):
                lists.cell(row, column, value)
        return lists

    def _set_lists(self) -> None:
        """Write one list inline, one on another sheet and one as a defined name."""
        self.book.defined_names["Gruppestorrelser"] = DefinedName("Gruppestorrelser", attr_text=f"{LISTS}!$B$1:$B$5")
        self.set_list("Kategori", f'"{",".join(CATEGORIES)}"')
        self.set_list("Aktivitetstype", f"{LISTS}!$A$1:$A$8")
        self.set_list("Gruppestørrelse", "Gruppestorrelser")
        for header in YES_NO:
            self.set_list(header, '"Ja,Nei"')
