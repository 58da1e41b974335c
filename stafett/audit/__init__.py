"""Audit trail: events, verification of their hash chain, and signed checkpoints."""
