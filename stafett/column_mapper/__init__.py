"""Mapping documents: JSON that defines an organisation's report and is compiled to Polars expressions."""

from stafett.column_mapper.compiler import compile_mapping
from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.issues import InvalidMappingError, MappingIssue
from stafett.column_mapper.loader import load_mapping, validate_document
from stafett.column_mapper.program import MappedPart, MappingProgram

__all__ = [
    "InvalidMappingError",
    "MappedPart",
    "MappingDocument",
    "MappingIssue",
    "MappingProgram",
    "compile_mapping",
    "load_mapping",
    "validate_document",
]
