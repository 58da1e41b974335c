-- Whoever changes a secret has a day to tell the receiver: until then the former one signs along.
ALTER TABLE webhook_secrets
    ADD former_secret varchar CHECK (former_secret LIKE 'whsec\_%'),
    ADD former_until timestamptz,
    ADD CHECK ((former_secret IS NULL) = (former_until IS NULL));

-- The API changes a secret and cannot read the one that was there, so the table keeps it by itself.
CREATE FUNCTION keep_former_secret() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.former_secret := OLD.secret;
    NEW.former_until := clock_timestamp() + interval '1 day';
    RETURN NEW;
END $$;
CREATE TRIGGER former_secrets_sign_along BEFORE UPDATE OF secret ON webhook_secrets
    FOR EACH ROW EXECUTE FUNCTION keep_former_secret();

GRANT UPDATE (secret) ON webhook_secrets TO stafett_api;
GRANT UPDATE (disabled_at) ON webhooks TO stafett_api;

-- How often a stage was tried matters for as long as its attempt goes on.
GRANT DELETE ON export_stage_tries TO stafett_worker;
GRANT SELECT (export_id, org_id), DELETE ON export_stage_tries TO stafett_maintenance;
DELETE FROM export_stage_tries t USING exports e
WHERE e.org_id = t.org_id AND e.id = t.export_id
    AND e.status IN ('completed', 'completed_empty', 'failed', 'cancelled');
