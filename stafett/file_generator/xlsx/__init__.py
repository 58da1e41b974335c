"""XLSX: XlsxWriter makes the workbook, Polars the rows' XML, ISA-L one streamed ZIP."""

from stafett.file_generator.xlsx.builder import Workbook
from stafett.file_generator.xlsx.truncation import CutText, CutTexts
from stafett.file_generator.xlsx.workbook import workbook_chunks

__all__ = ["CutText", "CutTexts", "Workbook", "workbook_chunks"]
