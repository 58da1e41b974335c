"""An Excel template in the spirit of NHF's reporting.

A real one is not at hand: this one is made by hand. Its texts and lists are written out here, independently of NHF's
mapping document, so that holding the two against each other says something about both.
"""

from pathlib import Path

from openpyxl import Workbook
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
KINDS = (
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
    "3–12 deltakere",  # noqa: RUF001 - as people write it
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
        self.lists = self._lists()
        self._allow()
        self.sheet.freeze_panes = "A5"

    def column(self, header: str) -> str:
        return next(cell.column_letter for cell in self.sheet[HEADER_ROW] if cell.value == header)

    def write(self, cell: str, text: str) -> None:
        self.sheet[cell] = text

    def allow(self, header: str, formula: str) -> None:
        """Another list than the one that was there."""
        cells = f"{self.column(header)}5:{self.column(header)}500"
        known = self.sheet.data_validations.dataValidation
        known[:] = [one for one in known if str(one.sqref) != cells]
        self.sheet.add_data_validation(DataValidation(type="list", formula1=formula, sqref=cells))

    def saved(self, folder: Path) -> Path:
        path = folder / "mal.xlsx"
        self.book.save(path)
        return path

    def _lists(self) -> Worksheet:
        lists: Worksheet = self.book.create_sheet(LISTS)
        lists.sheet_state = "hidden"
        for column, values in enumerate((KINDS, SIZES), start=1):
            for row, value in enumerate(values, start=1):
                lists.cell(row, column, value)
        return lists

    def _allow(self) -> None:
        """One list in place, one on another sheet, one under a name."""
        self.book.defined_names["Gruppestorrelser"] = DefinedName("Gruppestorrelser", attr_text=f"{LISTS}!$B$1:$B$5")
        self.allow("Kategori", f'"{",".join(CATEGORIES)}"')
        self.allow("Aktivitetstype", f"{LISTS}!$A$1:$A$8")
        self.allow("Gruppestørrelse", "Gruppestorrelser")
        for header in YES_NO:
            self.allow(header, '"Ja,Nei"')
