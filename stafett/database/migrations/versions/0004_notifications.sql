-- That an attempt at a job has ended, for the person who asked for it; written in the transaction that ends it.
CREATE TABLE notifications (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    user_id uuid NOT NULL REFERENCES users,
    kind varchar NOT NULL CHECK (kind IN ('export_ended')),
    subject_kind varchar NOT NULL CHECK (subject_kind IN ('export')),
    subject_id uuid NOT NULL,
    attempt integer NOT NULL CHECK (attempt >= 1),
    status varchar NOT NULL CHECK (status IN ('completed', 'completed_empty', 'failed', 'cancelled')),
    created_at timestamptz NOT NULL DEFAULT now(),
    read_at timestamptz
);
CREATE UNIQUE INDEX notifications_of_org ON notifications (org_id, id);
CREATE UNIQUE INDEX notifications_tell_an_end_once ON notifications (org_id, subject_id, attempt);
CREATE INDEX notifications_newest_first ON notifications (org_id, user_id, created_at DESC, id DESC);

CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    url varchar NOT NULL CHECK (url ~ '^https?://' AND length(url) <= 2000),
    description varchar CHECK (length(description) <= 200),
    created_by uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX webhooks_of_org ON webhooks (org_id, id);
CREATE INDEX webhooks_newest_first ON webhooks (org_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;

-- Apart from the webhook, so that the API can write a secret and never read one, and that it goes with its webhook.
CREATE TABLE webhook_secrets (
    webhook_id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    secret varchar NOT NULL CHECK (secret LIKE 'whsec\_%'),
    FOREIGN KEY (org_id, webhook_id) REFERENCES webhooks (org_id, id)
);

-- The outbox: one message to one receiver. Without a notification it is a webhook's test.
CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    notification_id uuid,
    webhook_id uuid,
    channel varchar NOT NULL CHECK (channel IN ('email', 'webhook')),
    state varchar NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'failed', 'delivered', 'given_up')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    last_error varchar CHECK (last_error ~ '^[a-z0-9_]{1,40}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_tried_at timestamptz,
    settled_at timestamptz,
    FOREIGN KEY (org_id, notification_id) REFERENCES notifications (org_id, id),
    FOREIGN KEY (org_id, webhook_id) REFERENCES webhooks (org_id, id),
    CHECK ((channel = 'webhook') = (webhook_id IS NOT NULL)),
    CHECK (channel = 'webhook' OR notification_id IS NOT NULL),
    CHECK ((state IN ('delivered', 'given_up')) = (settled_at IS NOT NULL))
);
CREATE INDEX deliveries_of_notification ON deliveries (org_id, notification_id);
CREATE INDEX deliveries_of_webhook ON deliveries (org_id, webhook_id, created_at DESC, id DESC);
CREATE INDEX deliveries_unsettled ON deliveries (created_at, id) WHERE state IN ('pending', 'failed');

CREATE FUNCTION guard_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN ('delivered', 'given_up') THEN
        RAISE EXCEPTION 'a delivery that is settled stays as it is' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER deliveries_are_settled_once BEFORE UPDATE ON deliveries
    FOR EACH ROW EXECUTE FUNCTION guard_delivery();

-- The worker reads no users. It is told the one address that an unsettled delivery of the transaction's organisation
-- goes to, as long as that user is a member there.
CREATE FUNCTION recipient_of(p_delivery uuid) RETURNS varchar LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT u.email
    FROM deliveries d
    JOIN notifications n ON n.org_id = d.org_id AND n.id = d.notification_id
    JOIN memberships m ON m.org_id = n.org_id AND m.user_id = n.user_id
    JOIN users u ON u.id = n.user_id
    WHERE d.id = p_delivery AND d.org_id = current_org() AND d.channel = 'email' AND d.state IN ('pending', 'failed')
$$;
REVOKE EXECUTE ON FUNCTION recipient_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION recipient_of TO stafett_worker;

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['notifications', 'webhooks', 'webhook_secrets', 'deliveries'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY own_organisation ON %I %s USING (org_id = current_org()) WITH CHECK (org_id = current_org())',
                       tenant_table, CASE tenant_table WHEN 'notifications' THEN 'TO stafett_worker, stafett_maintenance' ELSE '' END);
    END LOOP;
END $$;
CREATE POLICY ones_own ON notifications TO stafett_api USING (org_id = current_org() AND user_id = current_caller());
CREATE POLICY maintenance ON notifications FOR SELECT TO stafett_maintenance USING (true);
CREATE POLICY maintenance ON deliveries FOR SELECT TO stafett_maintenance USING (true);

GRANT SELECT, UPDATE (read_at) ON notifications TO stafett_api;
GRANT SELECT, INSERT, UPDATE (deleted_at) ON webhooks TO stafett_api;
GRANT INSERT, SELECT (webhook_id, org_id), DELETE ON webhook_secrets TO stafett_api;
GRANT SELECT, INSERT ON deliveries TO stafett_api;
GRANT SELECT, INSERT ON notifications TO stafett_worker, stafett_maintenance;
GRANT SELECT, INSERT, UPDATE (state, attempts, last_error, last_tried_at, settled_at) ON deliveries TO stafett_worker, stafett_maintenance;
GRANT SELECT, UPDATE (disabled_at) ON webhooks TO stafett_worker;
GRANT SELECT (id, org_id, disabled_at, deleted_at) ON webhooks TO stafett_maintenance;
GRANT SELECT ON webhook_secrets TO stafett_worker;
