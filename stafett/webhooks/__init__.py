"""Webhooks as https://www.standardwebhooks.com has them: signed, thin, and never into anybody's own network."""
