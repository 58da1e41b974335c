"""Which version this is; apart from the package, which can then say in a sentence that it is not installed."""

from importlib.metadata import version

VERSION = version("stafett")
