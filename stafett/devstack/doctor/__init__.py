"""The checks of ``stafett doctor``."""
