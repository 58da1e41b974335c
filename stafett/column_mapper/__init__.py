"""One document says everything about an organisation's report; it is compiled to Polars."""

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
