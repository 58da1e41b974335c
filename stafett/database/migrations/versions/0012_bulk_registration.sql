CREATE TABLE bulk_transitions (
    from_status varchar NOT NULL,
    to_status varchar NOT NULL,
    PRIMARY KEY (from_status, to_status)
);
INSERT INTO bulk_transitions VALUES
    ('accepted', 'running'), ('accepted', 'failed'), ('accepted', 'cancelling'),
    ('running', 'completed'), ('running', 'completed_with_failures'), ('running', 'failed'), ('running', 'cancelling'),
    ('cancelling', 'cancelled'), ('cancelling', 'failed'),
    ('completed_with_failures', 'accepted'), ('failed', 'accepted'), ('cancelled', 'accepted');

-- A batch; what its items have come to is counted here, in the transactions that bring them there.
CREATE TABLE bulk_registrations (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    requested_by uuid NOT NULL REFERENCES users,
    label varchar CHECK (length(label) BETWEEN 1 AND 200),
    activity jsonb NOT NULL CHECK (jsonb_typeof(activity) = 'object'),
    status varchar NOT NULL CHECK (status IN (
        'accepted', 'running', 'completed', 'completed_with_failures', 'failed', 'cancelling', 'cancelled')),
    attempt integer NOT NULL CHECK (attempt >= 1),
    total integer NOT NULL CHECK (total BETWEEN 1 AND 10000),
    registered integer NOT NULL DEFAULT 0 CHECK (registered >= 0),
    failed integer NOT NULL DEFAULT 0 CHECK (failed >= 0),
    cancelled integer NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
    period_start timestamptz,
    period_end timestamptz,
    error jsonb,
    edits integer NOT NULL DEFAULT 0,
    changes integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    deleted_at timestamptz,
    CHECK (registered + failed + cancelled <= total),
    CHECK ((status IN ('completed', 'completed_with_failures', 'failed', 'cancelled')) = (completed_at IS NOT NULL)),
    CHECK (completed_at IS NULL OR registered + failed + cancelled = total),
    CHECK (status <> 'completed' OR registered = total),
    CHECK (status <> 'completed_with_failures' OR (registered > 0 AND failed > 0)),
    CHECK (deleted_at IS NULL OR completed_at IS NOT NULL)
);
CREATE UNIQUE INDEX bulk_registrations_of_org ON bulk_registrations (org_id, id);
CREATE INDEX bulk_registrations_newest_first ON bulk_registrations (org_id, created_at DESC, id DESC);
CREATE INDEX bulk_registrations_newest_of_all ON bulk_registrations (created_at DESC, id DESC);
CREATE INDEX bulk_registrations_unfinished ON bulk_registrations (created_at, id) WHERE completed_at IS NULL;

CREATE TABLE bulk_items (
    batch_id uuid NOT NULL,
    position integer NOT NULL CHECK (position >= 0),
    org_id varchar NOT NULL REFERENCES organisations,
    chunk integer NOT NULL CHECK (chunk >= 0),
    client_ref varchar NOT NULL CHECK (length(client_ref) BETWEEN 1 AND 200),
    mentor_ref varchar NOT NULL CHECK (length(mentor_ref) BETWEEN 1 AND 200),
    mentor_id uuid,
    overrides jsonb NOT NULL CHECK (jsonb_typeof(overrides) = 'object'),
    fault varchar,
    activity_id uuid NOT NULL,
    status varchar NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'registered', 'failed', 'cancelled')),
    error_code varchar CHECK (error_code IN (
        'mentor_not_found', 'mentor_inactive', 'overlapping_activity', 'invalid_activity', 'temporarily_unavailable')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    PRIMARY KEY (batch_id, position),
    FOREIGN KEY (org_id, batch_id) REFERENCES bulk_registrations (org_id, id),
    CHECK ((status = 'failed') = (error_code IS NOT NULL))
) WITH (fillfactor = 50);
-- Every item is changed once, soon: no index knows its status, and its page has room for what it becomes.
CREATE UNIQUE INDEX bulk_items_once_a_batch ON bulk_items (batch_id, client_ref);
CREATE INDEX bulk_items_in_chunks ON bulk_items (batch_id, chunk, position);
CREATE INDEX bulk_items_of_mentor ON bulk_items (org_id, mentor_id);

ALTER TABLE activities
    ADD COLUMN batch_id uuid,
    ADD FOREIGN KEY (org_id, batch_id) REFERENCES bulk_registrations (org_id, id),
    ADD CHECK (batch_id IS NULL OR registered_by IS NOT NULL);
CREATE INDEX activities_of_batch ON activities (org_id, batch_id, starts_at, id) WHERE batch_id IS NOT NULL;

CREATE FUNCTION guard_bulk_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'accepted' OR NEW.attempt <> 1 THEN
        RAISE EXCEPTION 'a batch begins accepted, with its first attempt' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bulk_registrations_begin_at_the_beginning BEFORE INSERT ON bulk_registrations
    FOR EACH ROW EXECUTE FUNCTION guard_bulk_insert();

CREATE FUNCTION guard_bulk_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.status <> OLD.status AND NOT EXISTS (
        SELECT FROM bulk_transitions t WHERE t.from_status = OLD.status AND t.to_status = NEW.status) THEN
        RAISE EXCEPTION 'a batch does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    -- Free text is let go: of a person who is to be forgotten, of a batch that was deleted.
    IF (NEW.id, NEW.org_id, NEW.requested_by, NEW.total, NEW.activity - 'note' - 'place', NEW.created_at) IS DISTINCT FROM
       (OLD.id, OLD.org_id, OLD.requested_by, OLD.total, OLD.activity - 'note' - 'place', OLD.created_at) THEN
        RAISE EXCEPTION 'what a batch was asked for never changes' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.edits = OLD.edits THEN
        NEW.changes := OLD.changes + 1;
    END IF;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER bulk_registrations_are_guarded BEFORE UPDATE ON bulk_registrations
    FOR EACH ROW EXECUTE FUNCTION guard_bulk_update();
CREATE TRIGGER bulk_registrations_tell_of_change AFTER UPDATE ON bulk_registrations
    FOR EACH ROW EXECUTE FUNCTION tell_of_change();

-- The conditions are the trigger's own, so that ten thousand sound steps cost ten thousand comparisons and no call.
CREATE FUNCTION guard_bulk_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an item does not go from % to %, and stays what it was', OLD.status, NEW.status USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER bulk_items_are_guarded BEFORE UPDATE ON bulk_items FOR EACH ROW
    WHEN ((NEW.status <> OLD.status AND OLD.status <> 'pending' AND NOT (NEW.status = 'pending' AND OLD.status <> 'registered'))
          OR NEW.position <> OLD.position OR NEW.client_ref <> OLD.client_ref OR NEW.activity_id <> OLD.activity_id)
    EXECUTE FUNCTION guard_bulk_item();

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['bulk_registrations', 'bulk_items'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY own_organisation ON %I USING (org_id = current_org()) WITH CHECK (org_id = current_org())',
                       tenant_table);
    END LOOP;
END $$;
CREATE POLICY operators ON bulk_registrations FOR SELECT TO stafett_api USING (current_setting('app.operator', true) = 'on');
CREATE POLICY maintenance ON bulk_registrations FOR SELECT TO stafett_maintenance USING (true);
-- What a gateway or a worker adds to the activities is of a batch, and says who registered it.
CREATE POLICY proxies_only ON activities AS RESTRICTIVE FOR INSERT TO stafett_api, stafett_worker
    WITH CHECK (batch_id IS NOT NULL AND registered_by IS NOT NULL);

GRANT SELECT, INSERT ON bulk_registrations, bulk_items TO stafett_api;
GRANT UPDATE (label, activity, status, attempt, registered, failed, cancelled, error, edits, completed_at, deleted_at)
    ON bulk_registrations TO stafett_api;
GRANT UPDATE (status, error_code, attempts) ON bulk_items TO stafett_api;
GRANT DELETE ON bulk_items TO stafett_api;
-- A batch that is only to be validated is registered in earnest, in a transaction that is rolled back.
GRANT INSERT ON activities TO stafett_api, stafett_worker;
GRANT SELECT, UPDATE (status, registered, failed, cancelled, error, completed_at) ON bulk_registrations TO stafett_worker, stafett_maintenance;
GRANT SELECT, UPDATE (status, error_code, attempts) ON bulk_items TO stafett_worker;
GRANT SELECT (org_id, batch_id, chunk, position, status, attempts), UPDATE (status, error_code, attempts) ON bulk_items TO stafett_maintenance;
GRANT SELECT (id, org_id, label, activity) ON bulk_registrations TO stafett_erasure;
GRANT SELECT (org_id, batch_id, position, client_ref, mentor_ref, mentor_id, overrides), UPDATE (overrides) ON bulk_items TO stafett_erasure;
