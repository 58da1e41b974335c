"""Object storage and the ZIP files written to it."""
