"""Report files, CSV and XLSX, rendered from frames."""
