from stafett.file_generator.stage import FileGeneration, FileRegistration

__all__ = ["FileGeneration", "FileRegistration"]
