"""The names under which the versions of a report's file are saved."""

from pathlib import PurePosixPath


def name_version(file_name: str, version: int) -> str:
    """Name the file of a report's version, so that it does not overwrite another version's."""
    path = PurePosixPath(file_name)
    return path.name if version == 1 else f"{path.stem}-version-{version}{path.suffix}"
