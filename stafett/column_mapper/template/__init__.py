"""Excel templates: renders blank ones from documents, and compares an organisation's own template with a document."""

from stafett.column_mapper.template.blank import render_blank_template
from stafett.column_mapper.template.comparison import compare_template
from stafett.column_mapper.template.difference import TemplateDifference
from stafett.column_mapper.template.template_workbook import UnreadableTemplateError

__all__ = ["TemplateDifference", "UnreadableTemplateError", "compare_template", "render_blank_template"]
