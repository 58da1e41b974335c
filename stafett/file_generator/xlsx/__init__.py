"""XLSX files: XlsxWriter writes the workbook, Polars the rows' XML, and ISA-L deflates one streamed ZIP file."""

from stafett.file_generator.xlsx.builder import WorkbookSpec
from stafett.file_generator.xlsx.workbook import render_workbook

__all__ = ["WorkbookSpec", "render_workbook"]
