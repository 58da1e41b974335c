"""Batches: one activity for many mentors, accepted, steered, shown."""
