"""Forgetting a person: first where they are kept, then wherever a copy of it went."""
