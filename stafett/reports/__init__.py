"""Report history and re-exports."""
