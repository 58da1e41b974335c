"""The version of the package, and a fingerprint of its sources."""

import hashlib
from importlib.metadata import version
from pathlib import Path

VERSION = version("stafett")
_PACKAGE_ROOT = Path(__file__).parent


def build_fingerprint(root: Path = _PACKAGE_ROOT) -> str:
    """Hash the sources. Call it when a process starts: later the files on disk may be those of a newer version."""
    digest = hashlib.sha256(f"{VERSION} {version('polars')}".encode())
    for source in sorted(root.rglob("*.py")):
        digest.update(f"\n{source.relative_to(root)}\n".encode() + source.read_bytes())
    return digest.hexdigest()
