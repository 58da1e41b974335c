"""What exports, re-exports and batches have in common."""
