"""Metrics and health of a process, served on a port of their own."""
