"""What can stand in a column of a report, where that can be listed."""

from stafett.column_mapper.document import ChoiceColumn, Column, MappingDocument, YesNoColumn
from stafett.domain.export import Locale


def written_in(document: MappingDocument, column: Column, locale: Locale) -> list[str] | None:
    """Everything the document can write in a column, if that can be listed."""
    match column:
        case ChoiceColumn():
            return [option.label.in_(locale) for option in document.taxonomies[column.options]]
        case YesNoColumn(labels=labels):
            return [labels.yes.in_(locale), labels.no.in_(locale)]
        case _:
            return None
