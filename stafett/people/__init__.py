"""Organisations, their members and identities, peer mentors and API keys."""
