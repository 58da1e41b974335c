"""The Temporal client, its namespace, its payload codec and its workers."""
