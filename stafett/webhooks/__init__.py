"""Standard Webhooks (https://www.standardwebhooks.com): signed, with thin payloads, never into private networks."""
