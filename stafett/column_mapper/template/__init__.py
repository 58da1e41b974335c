"""Excel templates: a blank one made of a document, and an organisation's own held against a document."""

from stafett.column_mapper.template.blank import blank_template
from stafett.column_mapper.template.comparison import differences
from stafett.column_mapper.template.difference import Difference
from stafett.column_mapper.template.template_workbook import UnreadableTemplateError

__all__ = ["Difference", "UnreadableTemplateError", "blank_template", "differences"]
