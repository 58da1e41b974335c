"""The audit trail held against itself and against what was signed of it: nothing here believes the database."""
