"""The bundled mapping documents: those of three organisations, and a standard one to start from.

An organisation's first version is valid for every day before the second one, so that it also applies to old reports.
"""

from importlib.resources import files

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.loader import load_mapping

STANDARD = "standard"


def load_bundled_mappings(organisation: str) -> list[MappingDocument]:
    """Load every version of an organisation's document, oldest first."""
    folder = files(__name__) / organisation
    versions = sorted(folder.iterdir(), key=lambda file: file.name)
    return [load_mapping(file.read_bytes()) for file in versions]
