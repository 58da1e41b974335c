"""Re-exports: a report made again, and what it became."""
