"""One document says everything about an organisation's report; it is compiled to Polars."""

from stafett.column_mapper.compiler import compile_mapping
from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.issues import InvalidMappingError, MappingFault
from stafett.column_mapper.loader import read_document, read_mapping
from stafett.column_mapper.program import MappedPart, MappingProgram

__all__ = [
    "InvalidMappingError",
    "MappedPart",
    "MappingDocument",
    "MappingFault",
    "MappingProgram",
    "compile_mapping",
    "read_document",
    "read_mapping",
]
