from stafett.exports.stages.generate_file import FileGeneration
from stafett.exports.stages.store_file import FileRegistration

__all__ = ["FileGeneration", "FileRegistration"]
