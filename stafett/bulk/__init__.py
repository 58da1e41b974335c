"""Bulk registration: one activity for many peer mentors."""
