"""Organisations, their peer mentors, and the identities and sessions of users."""
