"""Telling people that a job has ended: a record, a letter, a webhook; each delivered at least once."""
