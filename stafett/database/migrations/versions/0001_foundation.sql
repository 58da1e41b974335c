CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE organisations (
    id varchar PRIMARY KEY CHECK (id ~ '^[a-z][a-z0-9_-]{0,62}$'),
    name varchar NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id uuid PRIMARY KEY,
    email varchar NOT NULL UNIQUE CHECK (email = lower(email) AND email LIKE '%_@_%'),
    display_name varchar NOT NULL,
    is_operator boolean NOT NULL DEFAULT false
);

CREATE TABLE memberships (
    user_id uuid NOT NULL REFERENCES users,
    org_id varchar NOT NULL REFERENCES organisations,
    role varchar NOT NULL CHECK (role IN ('coordinator', 'admin', 'auditor')),
    PRIMARY KEY (user_id, org_id)
);

CREATE TABLE peer_mentors (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    display_name varchar NOT NULL CHECK (display_name <> ''),
    active boolean NOT NULL DEFAULT true
);
-- What another table refers to when it says: this row, of this very organisation.
CREATE UNIQUE INDEX peer_mentors_of_org ON peer_mentors (org_id, id);

CREATE TABLE activities (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    mentor_id uuid NOT NULL,
    activity_type varchar NOT NULL CHECK (activity_type IN (
        'oppsokende_samtale', 'samtalegruppe', 'aktivitetsgruppe', 'likepersonskurs',
        'telefonsamtale', 'digital_samtale', 'besok', 'annet')),
    starts_at timestamptz NOT NULL CHECK (starts_at >= '1900-01-01Z' AND starts_at < '2200-01-01Z'),
    ends_at timestamptz NOT NULL,
    participants integer NOT NULL CHECK (participants BETWEEN 0 AND 100000),
    new_participants integer NOT NULL,
    place varchar NOT NULL,
    in_person boolean NOT NULL,
    in_norway boolean NOT NULL,
    note varchar,
    registered_by uuid REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    FOREIGN KEY (org_id, mentor_id) REFERENCES peer_mentors (org_id, id),
    CHECK (new_participants BETWEEN 0 AND participants),
    -- An empty range overlaps nothing and would slip past the exclusion below.
    CHECK (ends_at > starts_at AND ends_at - starts_at <= interval '14 days'),
    CONSTRAINT activities_of_a_mentor_never_overlap
        EXCLUDE USING gist (mentor_id WITH =, tstzrange(starts_at, ends_at) WITH &&) WHERE (deleted_at IS NULL)
);
CREATE UNIQUE INDEX activities_of_org ON activities (org_id, id);
CREATE INDEX activities_in_report_order ON activities (org_id, starts_at, id) WHERE deleted_at IS NULL;

CREATE TABLE attachments (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    activity_id uuid NOT NULL,
    file_name varchar NOT NULL CHECK (file_name <> ''),
    mime_type varchar NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    sha256 varchar NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    object_key varchar NOT NULL UNIQUE,
    FOREIGN KEY (org_id, activity_id) REFERENCES activities (org_id, id)
);
CREATE INDEX attachments_of_activity ON attachments (org_id, activity_id);

CREATE TABLE export_transitions (
    from_status varchar NOT NULL,
    to_status varchar NOT NULL,
    PRIMARY KEY (from_status, to_status)
);
INSERT INTO export_transitions
WITH stages (name) AS (VALUES ('querying_activities'), ('mapping_columns'), ('generating_file'),
                              ('bundling_attachments'), ('storing_file'), ('recording_audit'))
SELECT 'initialised', name FROM stages
UNION ALL SELECT name, unnest(ARRAY['failed', 'cancelling']) FROM stages
UNION ALL VALUES ('initialised', 'failed'), ('initialised', 'cancelling'),
                 ('querying_activities', 'mapping_columns'), ('querying_activities', 'completed_empty'),
                 ('mapping_columns', 'generating_file'),
                 ('generating_file', 'bundling_attachments'), ('generating_file', 'storing_file'),
                 ('bundling_attachments', 'storing_file'), ('storing_file', 'recording_audit'),
                 ('recording_audit', 'completed'), ('cancelling', 'cancelled'), ('cancelling', 'failed'),
                 ('failed', 'initialised'), ('cancelled', 'initialised');

CREATE TABLE exports (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    requested_by uuid NOT NULL REFERENCES users,
    parameters jsonb NOT NULL,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    status varchar NOT NULL CHECK (status IN (
        'initialised', 'querying_activities', 'mapping_columns', 'generating_file', 'bundling_attachments',
        'storing_file', 'recording_audit', 'completed', 'completed_empty', 'failed', 'cancelling', 'cancelled')),
    attempt integer NOT NULL CHECK (attempt >= 1),
    progress jsonb,
    counts jsonb,
    warnings jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(warnings) = 'array'),
    partial_failure_count integer NOT NULL DEFAULT 0 CHECK (partial_failure_count >= 0),
    mapping jsonb,
    file jsonb,
    error jsonb,
    audit_id uuid NOT NULL,
    edits integer NOT NULL DEFAULT 0,
    changes integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    CHECK (period_end >= period_start),
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK ((status IN ('completed', 'completed_empty', 'failed', 'cancelled')) = (completed_at IS NOT NULL)),
    CHECK (status <> 'completed' OR file IS NOT NULL)
);
CREATE UNIQUE INDEX exports_of_org ON exports (org_id, id);
CREATE INDEX exports_newest_first ON exports (org_id, created_at DESC, id DESC);
CREATE INDEX exports_newest_of_all ON exports (created_at DESC, id DESC);
CREATE INDEX exports_unfinished ON exports (created_at, id)
    WHERE status NOT IN ('completed', 'completed_empty', 'failed', 'cancelled');

CREATE FUNCTION guard_export_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'initialised' OR NEW.attempt <> 1 THEN
        RAISE EXCEPTION 'an export begins initialised, with its first attempt' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER exports_begin_at_the_beginning BEFORE INSERT ON exports
    FOR EACH ROW EXECUTE FUNCTION guard_export_insert();

CREATE FUNCTION guard_export_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.status <> OLD.status AND NOT EXISTS (
        SELECT FROM export_transitions t WHERE t.from_status = OLD.status AND t.to_status = NEW.status) THEN
        RAISE EXCEPTION 'an export does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.id, NEW.org_id, NEW.requested_by, NEW.parameters, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.org_id, OLD.requested_by, OLD.parameters, OLD.created_at) THEN
        RAISE EXCEPTION 'what an export was asked for never changes' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.edits = OLD.edits THEN
        NEW.changes := OLD.changes + 1;
    END IF;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER exports_are_guarded BEFORE UPDATE ON exports
    FOR EACH ROW EXECUTE FUNCTION guard_export_update();

CREATE TABLE export_attempts (
    export_id uuid NOT NULL,
    number integer NOT NULL CHECK (number >= 1),
    org_id varchar NOT NULL REFERENCES organisations,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome varchar,
    resumed_from varchar,
    stages_reused varchar[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (export_id, number),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id),
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);

-- How often a stage was begun without an answer: a worker that died with it, or an error nobody foresaw.
CREATE TABLE export_stage_tries (
    export_id uuid NOT NULL,
    attempt integer NOT NULL,
    stage varchar NOT NULL,
    org_id varchar NOT NULL REFERENCES organisations,
    unanswered integer NOT NULL CHECK (unanswered >= 0),
    PRIMARY KEY (export_id, attempt, stage),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id)
);

-- Apart from the job, because there may be a thousand of them of a thousand rows each.
CREATE TABLE export_partial_failures (
    export_id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    reports jsonb NOT NULL CHECK (jsonb_typeof(reports) = 'array' AND jsonb_array_length(reports) <= 1000),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id)
);

CREATE TABLE export_stage_outputs (
    export_id uuid NOT NULL,
    stage varchar NOT NULL,
    org_id varchar NOT NULL REFERENCES organisations,
    attempt integer NOT NULL,
    rows bigint NOT NULL CHECK (rows >= 0),
    outputs jsonb NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (export_id, stage),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id)
);

CREATE TABLE idempotency_keys (
    org_id varchar NOT NULL REFERENCES organisations,
    operation varchar NOT NULL,
    key varchar NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_sha256 varchar NOT NULL,
    resource_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, operation, key)
);

CREATE TABLE audit_events (
    org_id varchar NOT NULL REFERENCES organisations,
    seq bigint NOT NULL CHECK (seq >= 1),
    id uuid NOT NULL UNIQUE,
    at timestamptz NOT NULL,
    actor varchar NOT NULL,
    event varchar NOT NULL,
    subject_kind varchar NOT NULL,
    subject_id uuid NOT NULL,
    status varchar,
    detail jsonb NOT NULL CHECK (jsonb_typeof(detail) = 'object'),
    hash varchar NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
    previous_hash varchar NOT NULL CHECK (previous_hash ~ '^[0-9a-f]{64}$'),
    PRIMARY KEY (org_id, seq)
);
CREATE INDEX audit_events_of_subject ON audit_events (org_id, subject_id, seq);

-- RFC 8785 for what audit details are made of: objects with ASCII keys, arrays, text, whole numbers, booleans, null.
CREATE FUNCTION canonical_json(value jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    CASE jsonb_typeof(value)
        WHEN 'object' THEN
            RETURN '{' || coalesce((SELECT string_agg(to_json(key)::text || ':' || canonical_json(each.value), ',' ORDER BY key COLLATE "C")
                                    FROM jsonb_each(value) AS each), '') || '}';
        WHEN 'array' THEN
            RETURN '[' || coalesce((SELECT string_agg(canonical_json(element), ',' ORDER BY place)
                                    FROM jsonb_array_elements(value) WITH ORDINALITY AS e (element, place)), '') || ']';
        WHEN 'number' THEN
            IF value::numeric <> trunc(value::numeric) OR abs(value::numeric) > 9007199254740991 THEN
                RAISE EXCEPTION 'an audit detail holds whole numbers only' USING ERRCODE = 'check_violation';
            END IF;
            RETURN trunc(value::numeric)::text;
        ELSE
            RETURN value::text;
    END CASE;
END $$;

-- The one way into the trail. Call it last in a transaction: from here to its end, the organisation's chain is held.
CREATE FUNCTION append_audit_event(
    p_id uuid, p_org_id varchar, p_actor varchar, p_event varchar, p_subject_kind varchar, p_subject_id uuid,
    p_status varchar, p_detail jsonb
) RETURNS audit_events LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    last audit_events;
    link audit_events;
BEGIN
    IF p_org_id IS DISTINCT FROM nullif(current_setting('app.org_id', true), '') THEN
        RAISE EXCEPTION 'an event belongs to the organisation the transaction is bound to' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('audit:' || p_org_id, 0));
    SELECT * INTO last FROM audit_events e WHERE e.org_id = p_org_id ORDER BY e.seq DESC LIMIT 1;
    link := (p_org_id, coalesce(last.seq, 0) + 1, p_id, clock_timestamp(), p_actor, p_event, p_subject_kind, p_subject_id,
             p_status, p_detail, '', coalesce(last.hash, repeat('0', 64)));
    link.hash := encode(sha256(convert_to(canonical_json(jsonb_build_object(
        'org_id', link.org_id, 'seq', link.seq, 'id', link.id,
        'at', to_char(link.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'actor', link.actor, 'event', link.event, 'subject_kind', link.subject_kind, 'subject_id', link.subject_id,
        'status', link.status, 'detail', link.detail, 'previous_hash', link.previous_hash)), 'UTF8')), 'hex');
    INSERT INTO audit_events SELECT link.*;
    RETURN link;
END $$;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_events_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_never_change;

-- A setting that was never made is NULL in a fresh session and '' after a commit: neither is an organisation.
CREATE FUNCTION current_org() RETURNS varchar LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('app.org_id', true), '') $$;
CREATE FUNCTION current_caller() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('app.user_id', true), '')::uuid $$;

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['peer_mentors', 'activities', 'attachments', 'exports', 'export_attempts',
                                        'export_stage_outputs', 'export_stage_tries', 'export_partial_failures',
                                        'idempotency_keys', 'audit_events', 'memberships'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY own_organisation ON %I USING (org_id = current_org()) WITH CHECK (org_id = current_org())',
                       tenant_table);
    END LOOP;
END $$;
ALTER TABLE organisations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organisations FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organisation ON organisations USING (id = current_org());
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY oneself ON users FOR SELECT USING (id = current_caller());
CREATE POLICY own_memberships ON memberships FOR SELECT USING (user_id = current_caller());
-- An operator sees every organisation's jobs and states, and nothing that is in them.
CREATE POLICY operators ON exports FOR SELECT TO stafett_api USING (current_setting('app.operator', true) = 'on');
CREATE POLICY operators ON export_attempts FOR SELECT TO stafett_api USING (current_setting('app.operator', true) = 'on');
CREATE POLICY maintenance ON exports FOR SELECT TO stafett_maintenance USING (true);

GRANT USAGE ON SCHEMA public TO stafett_api, stafett_worker, stafett_maintenance;
GRANT SELECT ON organisations, users, memberships, peer_mentors, activities, export_attempts, export_partial_failures TO stafett_api;
GRANT SELECT, INSERT, UPDATE ON exports TO stafett_api;
GRANT INSERT ON export_attempts TO stafett_api;
GRANT SELECT, INSERT ON idempotency_keys TO stafett_api;
GRANT SELECT ON organisations, memberships, peer_mentors, activities, attachments TO stafett_worker;
GRANT SELECT, UPDATE ON exports, export_attempts TO stafett_worker;
GRANT SELECT, INSERT, DELETE ON export_stage_outputs, export_partial_failures TO stafett_worker;
GRANT SELECT, INSERT, UPDATE ON export_stage_tries TO stafett_worker;
GRANT SELECT, UPDATE ON exports, export_attempts TO stafett_maintenance;
GRANT SELECT ON audit_events TO stafett_api, stafett_worker, stafett_maintenance;
REVOKE EXECUTE ON FUNCTION append_audit_event FROM PUBLIC;
GRANT EXECUTE ON FUNCTION append_audit_event TO stafett_api, stafett_worker, stafett_maintenance;
