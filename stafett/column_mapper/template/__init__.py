"""Excel templates: a blank one made of a document, and an organisation's own held against a document."""

from stafett.column_mapper.template.blank import render_blank_template
from stafett.column_mapper.template.comparison import compare_template
from stafett.column_mapper.template.difference import TemplateDifference
from stafett.column_mapper.template.template_workbook import UnreadableTemplateError

__all__ = ["TemplateDifference", "UnreadableTemplateError", "compare_template", "render_blank_template"]
