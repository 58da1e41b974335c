-- What is to be cancelled is cancelled, whatever else happens to it meanwhile.
DELETE FROM export_transitions WHERE (from_status, to_status) = ('cancelling', 'failed');

-- Keys of requests that nobody repeats any more are forgotten.
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE POLICY maintenance ON idempotency_keys TO stafett_maintenance USING (true);
GRANT SELECT (created_at), DELETE ON idempotency_keys TO stafett_maintenance;
