"""Compares an organisation's own Excel template with its mapping document."""

from stafett.column_mapper.template.comparison import TemplateDifference, compare_template
from stafett.column_mapper.template.template_workbook import UnreadableTemplateError

__all__ = ["TemplateDifference", "UnreadableTemplateError", "compare_template"]
