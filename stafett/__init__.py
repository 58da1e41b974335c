"""Durable exports of peer-support activities to Bufdir."""
