"""The documents we bring along: three organisations', and a plain one to begin with.

An organisation's first version holds for every day before the next one: a report of long ago is made by it too.
"""

from importlib.resources import files

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.loader import load_mapping

STANDARD = "standard"


def load_bundled_mappings(organisation: str) -> list[MappingDocument]:
    """Every version of an organisation's document, oldest first."""
    folder = files(__name__) / organisation
    versions = sorted(folder.iterdir(), key=lambda file: file.name)
    return [load_mapping(file.read_bytes()) for file in versions]
