"""Notifications that a job has ended: stored, emailed and sent to webhooks, each delivered at least once."""
