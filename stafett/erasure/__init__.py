"""Erasure of a person (GDPR): first at the source, then in every copy."""
