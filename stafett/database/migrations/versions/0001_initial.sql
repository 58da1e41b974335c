-- One section per aggregate, in the order of the foreign keys.
--
-- Every row of an organisation has an org_id, and each foreign key between two such rows includes it, so that no row
-- refers to a row of another organisation. Row-level security limits a transaction to the organisation in app.org_id,
-- and the grants limit each role to the columns and commands that it needs.

CREATE EXTENSION IF NOT EXISTS btree_gist;

GRANT USAGE ON SCHEMA public TO stafett_api, stafett_worker, stafett_maintenance, stafett_erasure;


-- Session settings

-- A setting that was never set is NULL in a new session, and '' after the transaction that set it.
CREATE FUNCTION current_org() RETURNS varchar LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('app.org_id', true), '') $$;
CREATE FUNCTION current_user_id() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('app.user_id', true), '')::uuid $$;


-- Immutable rows and columns

-- Arguments: the message, which must not quote row data, and the name of the SQLSTATE. A row-level trigger has its rule
-- in the WHEN condition, so that a valid change costs a comparison and no function call.
CREATE FUNCTION reject_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = TG_ARGV[1];
END $$;


-- Jobs (exports, re-exports and batches)

CREATE TABLE export_transitions (
    from_status varchar NOT NULL,
    to_status varchar NOT NULL,
    PRIMARY KEY (from_status, to_status)
);
-- A retry starts at the first stage whose output is missing. Every stage can fail and be cancelled.
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
                 ('recording_audit', 'completed'), ('cancelling', 'cancelled'),
                 ('failed', 'initialised'), ('cancelled', 'initialised');

CREATE TABLE reexport_transitions (
    from_status varchar NOT NULL,
    to_status varchar NOT NULL,
    PRIMARY KEY (from_status, to_status)
);
INSERT INTO reexport_transitions
SELECT at, unnest(ARRAY['failed', 'cancelling']) FROM unnest(ARRAY['pending', 'exporting', 'storing_result']) AS at
UNION ALL VALUES ('pending', 'exporting'), ('exporting', 'storing_result'), ('storing_result', 'notifying'),
                 ('notifying', 'completed'), ('cancelling', 'cancelled');

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

CREATE VIEW job_transitions AS
    SELECT 'exports' AS job_table, from_status, to_status FROM export_transitions
    UNION ALL SELECT 'report_reexports', from_status, to_status FROM reexport_transitions
    UNION ALL SELECT 'bulk_registrations', from_status, to_status FROM bulk_transitions;

-- Argument: the noun for the message. The function runs as the owner, because no other role can read the transitions.
-- The statement of a user's edit increments edits; every other update increments changes. Both counters together are
-- the revision of the job.
CREATE FUNCTION check_job_update() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.status <> OLD.status AND NOT EXISTS (
        SELECT FROM job_transitions t
        WHERE t.job_table = TG_TABLE_NAME AND t.from_status = OLD.status AND t.to_status = NEW.status) THEN
        RAISE EXCEPTION '% cannot change from % to %', TG_ARGV[0], OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.edits = OLD.edits THEN
        NEW.changes := OLD.changes + 1;
    END IF;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;

-- The tables of jobs and deliveries leave space on their pages for new versions of their rows: reports of progress, which
-- change no column of an index, then write no index either.

-- PostgreSQL delivers the id of the job to listeners when the transaction commits. All transactions that notify commit
-- one after the other, so the triggers leave out progress, for which listeners look in job_revisions.
CREATE FUNCTION notify_job_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('job_changed', NEW.id::text);
    RETURN NULL;
END $$;


-- Organisations and people

CREATE TABLE organisations (
    id varchar PRIMARY KEY CHECK (id ~ '^[a-z][a-z0-9_-]{0,62}$'),
    name varchar NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE organisations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organisation ON organisations USING (id = current_org());
CREATE POLICY operators ON organisations FOR SELECT TO stafett_api USING (current_setting('app.operator', true) = 'on');
CREATE POLICY maintenance ON organisations FOR SELECT TO stafett_maintenance USING (true);
GRANT SELECT ON organisations TO stafett_api, stafett_worker;
GRANT INSERT, UPDATE (name) ON organisations TO stafett_api;
GRANT SELECT (id) ON organisations TO stafett_maintenance, stafett_erasure;

-- A user belongs to no organisation. An erasure sets app.user_id to the person, and so can update that row only.
CREATE TABLE users (
    id uuid PRIMARY KEY,
    email varchar NOT NULL UNIQUE CHECK (email = lower(email) AND email LIKE '%_@_%'),
    display_name varchar NOT NULL,
    is_operator boolean NOT NULL DEFAULT false,
    -- The language that the user has chosen in the console, for emails.
    language varchar CHECK (language IN ('nb', 'nn', 'en'))
);
ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_user ON users FOR SELECT USING (id = current_user_id());
CREATE POLICY erase_own_user ON users FOR UPDATE TO stafett_erasure USING (id = current_user_id());
CREATE POLICY change_own_language ON users FOR UPDATE TO stafett_api USING (id = current_user_id());
GRANT SELECT, UPDATE (language) ON users TO stafett_api;
GRANT SELECT, UPDATE (email, display_name, is_operator) ON users TO stafett_erasure;

-- The accounts of a user at identity providers. The address decides once per issuer, at the first sign-in; afterwards
-- the issuer's subject identifies the user, also when the address is changed or belongs to another person.
CREATE TABLE user_identities (
    issuer varchar NOT NULL CHECK (length(issuer) BETWEEN 1 AND 2000),
    subject varchar NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    user_id uuid NOT NULL REFERENCES users,
    linked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
CREATE UNIQUE INDEX user_identities_one_per_issuer ON user_identities (user_id, issuer);
ALTER TABLE user_identities ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_identities ON user_identities USING (user_id = current_user_id());
GRANT SELECT (user_id), DELETE ON user_identities TO stafett_erasure;

-- Returns the user of an identity. The first sign-in at an issuer links the identity to the user with the verified
-- address; of two concurrent ones, the second waits and reads the link of the first. A function, because no role can
-- read the users of other organisations.
CREATE FUNCTION resolve_user_identity(p_issuer varchar, p_subject varchar, p_verified_address varchar) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    linked uuid;
BEGIN
    SELECT user_id INTO linked FROM user_identities WHERE issuer = p_issuer AND subject = p_subject;
    IF linked IS NULL AND p_verified_address IS NOT NULL THEN
        INSERT INTO user_identities (issuer, subject, user_id)
            SELECT p_issuer, p_subject, u.id FROM users u WHERE u.email = lower(p_verified_address)
            ON CONFLICT DO NOTHING;
        SELECT user_id INTO linked FROM user_identities WHERE issuer = p_issuer AND subject = p_subject;
    END IF;
    RETURN linked;
END $$;
REVOKE EXECUTE ON FUNCTION resolve_user_identity FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_user_identity TO stafett_api;

CREATE TABLE memberships (
    user_id uuid NOT NULL REFERENCES users,
    org_id varchar NOT NULL REFERENCES organisations,
    role varchar NOT NULL CHECK (role IN ('coordinator', 'admin', 'auditor')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, org_id)
);
CREATE INDEX memberships_by_org_created_at ON memberships (org_id, created_at DESC, user_id DESC);
CREATE POLICY own_memberships ON memberships FOR SELECT USING (user_id = current_user_id());
GRANT SELECT ON memberships TO stafett_api, stafett_worker;
GRANT INSERT (user_id, org_id, role), UPDATE (role), DELETE ON memberships TO stafett_api;
GRANT SELECT, DELETE ON memberships TO stafett_erasure;

-- An organisation's administrators see its members, and whether they have signed in.
CREATE POLICY members ON users FOR SELECT TO stafett_api
    USING (EXISTS (SELECT FROM memberships m WHERE m.user_id = users.id AND m.org_id = current_org()));
CREATE POLICY members ON user_identities FOR SELECT TO stafett_api
    USING (EXISTS (SELECT FROM memberships m WHERE m.user_id = user_identities.user_id AND m.org_id = current_org()));
GRANT SELECT (user_id) ON user_identities TO stafett_api;

-- Returns the user with an address, who is inserted if there is none. A function, because an administrator may invite
-- the user of another organisation, whom no role can read.
CREATE FUNCTION ensure_user(p_id uuid, p_address varchar, p_display_name varchar) RETURNS uuid LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO users (id, email, display_name) VALUES (p_id, lower(p_address), p_display_name) ON CONFLICT DO NOTHING;
    RETURN (SELECT id FROM users WHERE email = lower(p_address));
END $$;
REVOKE EXECUTE ON FUNCTION ensure_user FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_user TO stafett_api;

-- Notifies the API of a user or API key that has lost access, so that it ends their event streams at once. Argument: the
-- column with the id.
CREATE FUNCTION notify_access_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('access_changed', to_jsonb(OLD) ->> TG_ARGV[0]);
    RETURN NULL;
END $$;
CREATE TRIGGER memberships_notify_access AFTER UPDATE OR DELETE ON memberships FOR EACH ROW
    EXECUTE FUNCTION notify_access_changed('user_id');
CREATE TRIGGER users_notify_access AFTER UPDATE ON users FOR EACH ROW
    WHEN (OLD.is_operator AND NOT NEW.is_operator)
    EXECUTE FUNCTION notify_access_changed('id');

-- A key acts for the user who made it, with a role of its own. Only the hash of its secret is stored.
CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    user_id uuid NOT NULL REFERENCES users,
    name varchar NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    role varchar NOT NULL CHECK (role IN ('coordinator', 'admin', 'auditor')),
    secret_sha256 varchar NOT NULL UNIQUE CHECK (secret_sha256 ~ '^[0-9a-f]{64}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_keys_by_org_created_at ON api_keys (org_id, created_at DESC, id DESC) WHERE revoked_at IS NULL;
CREATE TRIGGER api_keys_check_update BEFORE UPDATE ON api_keys FOR EACH ROW
    WHEN ((NEW.id, NEW.org_id, NEW.user_id, NEW.role, NEW.secret_sha256, NEW.created_at, NEW.expires_at)
        IS DISTINCT FROM
        (OLD.id, OLD.org_id, OLD.user_id, OLD.role, OLD.secret_sha256, OLD.created_at, OLD.expires_at)
        OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at))
    EXECUTE FUNCTION reject_change('an API key can only be used and revoked', 'check_violation');
CREATE TRIGGER api_keys_notify_access AFTER UPDATE ON api_keys FOR EACH ROW
    WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL)
    EXECUTE FUNCTION notify_access_changed('id');
GRANT SELECT, INSERT, UPDATE (last_used_at, revoked_at) ON api_keys TO stafett_api;
GRANT SELECT (id, org_id, user_id, name, revoked_at), UPDATE (name, revoked_at) ON api_keys TO stafett_erasure;

-- Returns a key by the hash of its secret, also an expired one. A function, because the organisation is not known before the key is.
CREATE FUNCTION find_api_key(p_secret_sha256 varchar) RETURNS SETOF api_keys LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT * FROM api_keys WHERE secret_sha256 = p_secret_sha256 AND revoked_at IS NULL
$$;
REVOKE EXECUTE ON FUNCTION find_api_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key TO stafett_api;

CREATE TABLE peer_mentors (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    display_name varchar NOT NULL CHECK (display_name <> ''),
    active boolean NOT NULL DEFAULT true,
    branch varchar CHECK (length(branch) BETWEEN 1 AND 200),
    approved_at timestamptz,
    edits integer NOT NULL DEFAULT 0
);
-- This index and the others on (org_id, id) are the targets of the foreign keys that include the organisation.
CREATE UNIQUE INDEX peer_mentors_of_org ON peer_mentors (org_id, id);
CREATE INDEX peer_mentors_by_name ON peer_mentors (org_id, display_name, id);
GRANT SELECT ON peer_mentors TO stafett_api, stafett_worker;
GRANT INSERT, UPDATE (display_name, active, branch, approved_at, edits) ON peer_mentors TO stafett_api;
GRANT SELECT, UPDATE (display_name, active) ON peer_mentors TO stafett_erasure;


-- Sign-in to the console

-- The SHA-256 of the secret that a browser presents. It gives access to one row before the user is known.
CREATE FUNCTION current_secret_sha256() RETURNS varchar LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('app.secret_sha256', true), '') $$;

-- A sign-in that has been sent to an issuer. Its row is deleted by the first response with its state from the browser
-- that started it. Unlogged, because any browser can insert rows, and losing them costs no more than another sign-in.
CREATE UNLOGGED TABLE login_attempts (
    state_sha256 varchar PRIMARY KEY CHECK (state_sha256 ~ '^[0-9a-f]{64}$'),
    browser_sha256 varchar NOT NULL CHECK (browser_sha256 ~ '^[0-9a-f]{64}$'),
    provider varchar NOT NULL,
    nonce varchar NOT NULL,
    code_verifier varchar NOT NULL,
    return_path varchar NOT NULL CHECK (length(return_path) <= 1000),
    expires_at timestamptz NOT NULL
);
CREATE INDEX login_attempts_by_expiry ON login_attempts (expires_at);
ALTER TABLE login_attempts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY presented_state ON login_attempts USING (state_sha256 = current_secret_sha256());
CREATE POLICY maintenance ON login_attempts TO stafett_maintenance USING (true);
GRANT SELECT, INSERT, DELETE ON login_attempts TO stafett_api;
GRANT SELECT (expires_at), DELETE ON login_attempts TO stafett_maintenance;

-- A session of a user in one browser, which has the secret of token_sha256 in its cookie. org_id is the organisation that
-- the user acts for. The session ends at idle_expires_at, which each use moves, but never past expires_at.
CREATE TABLE user_sessions (
    id uuid PRIMARY KEY,
    token_sha256 varchar NOT NULL UNIQUE CHECK (token_sha256 ~ '^[0-9a-f]{64}$'),
    user_id uuid NOT NULL REFERENCES users,
    org_id varchar REFERENCES organisations,
    provider varchar NOT NULL,
    id_token varchar NOT NULL,
    logout_url varchar,
    browser varchar NOT NULL CHECK (length(browser) <= 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    idle_expires_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CHECK (idle_expires_at <= expires_at)
);
CREATE INDEX user_sessions_of_user ON user_sessions (user_id, created_at);
CREATE INDEX user_sessions_by_expiry ON user_sessions (idle_expires_at);
ALTER TABLE user_sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_sessions ON user_sessions USING (user_id = current_user_id());
CREATE POLICY presented_session ON user_sessions TO stafett_api USING (token_sha256 = current_secret_sha256());
CREATE POLICY maintenance ON user_sessions TO stafett_maintenance USING (true);
GRANT SELECT, INSERT, UPDATE (org_id, last_used_at, idle_expires_at), DELETE ON user_sessions TO stafett_api;
GRANT SELECT (idle_expires_at), DELETE ON user_sessions TO stafett_maintenance;
GRANT SELECT (user_id), DELETE ON user_sessions TO stafett_erasure;

-- Ends a removed member's sessions in which the organisation is chosen, also for an invitation later. A function, because
-- an administrator's transaction sees no sessions of others.
CREATE FUNCTION end_sessions_of_member() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    DELETE FROM user_sessions WHERE user_id = OLD.user_id AND org_id = OLD.org_id;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION end_sessions_of_member FROM PUBLIC;
CREATE TRIGGER memberships_end_sessions AFTER DELETE ON memberships FOR EACH ROW
    EXECUTE FUNCTION end_sessions_of_member();


-- Bulk registration

-- A batch. The transaction that updates items also updates the counts of the batch.
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
    corrects uuid,
    retried integer CHECK (retried BETWEEN 1 AND total),
    warnings jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(warnings) = 'array'),
    request_id varchar,
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
) WITH (fillfactor = 75);
CREATE UNIQUE INDEX bulk_registrations_of_org ON bulk_registrations (org_id, id);
ALTER TABLE bulk_registrations ADD FOREIGN KEY (org_id, corrects) REFERENCES bulk_registrations (org_id, id);
CREATE INDEX bulk_registrations_corrections ON bulk_registrations (org_id, corrects) WHERE corrects IS NOT NULL;
-- A batch is corrected once: by another batch only after that one has registered nothing, or is deleted.
CREATE UNIQUE INDEX bulk_registrations_one_correction ON bulk_registrations (org_id, corrects)
    WHERE corrects IS NOT NULL AND deleted_at IS NULL AND status NOT IN ('failed', 'cancelled');
CREATE INDEX bulk_registrations_by_org_created_at ON bulk_registrations (org_id, created_at DESC, id DESC);
CREATE INDEX bulk_registrations_by_created_at ON bulk_registrations (created_at DESC, id DESC);
CREATE INDEX bulk_registrations_by_status ON bulk_registrations (status, created_at DESC, id DESC);
CREATE INDEX bulk_registrations_unfinished ON bulk_registrations (created_at, id) WHERE completed_at IS NULL;
CREATE INDEX bulk_registrations_needing_attention ON bulk_registrations (org_id)
    WHERE deleted_at IS NULL AND status NOT IN ('completed', 'cancelled');

CREATE TRIGGER bulk_registrations_check_insert BEFORE INSERT ON bulk_registrations FOR EACH ROW
    WHEN (NEW.status <> 'accepted' OR NEW.attempt <> 1)
    EXECUTE FUNCTION reject_change('a batch starts as accepted, with attempt 1', 'check_violation');
CREATE TRIGGER bulk_registrations_check_update BEFORE UPDATE ON bulk_registrations FOR EACH ROW
    EXECUTE FUNCTION check_job_update('a batch');
-- The free text of an activity can change: erasing a person and deleting a batch clear it.
CREATE TRIGGER bulk_registrations_immutable_columns BEFORE UPDATE ON bulk_registrations FOR EACH ROW
    WHEN ((NEW.id, NEW.org_id, NEW.requested_by, NEW.total, NEW.activity - 'note' - 'place', NEW.corrects, NEW.warnings,
           NEW.created_at)
        IS DISTINCT FROM
        (OLD.id, OLD.org_id, OLD.requested_by, OLD.total, OLD.activity - 'note' - 'place', OLD.corrects, OLD.warnings,
           OLD.created_at))
    EXECUTE FUNCTION reject_change('the request of a batch is immutable', 'check_violation');
CREATE TRIGGER bulk_registrations_notify_change AFTER UPDATE ON bulk_registrations FOR EACH ROW
    WHEN (NEW.status <> OLD.status OR NEW.edits <> OLD.edits OR NEW.deleted_at IS DISTINCT FROM OLD.deleted_at)
    EXECUTE FUNCTION notify_job_changed();

CREATE POLICY operators ON bulk_registrations FOR SELECT TO stafett_api
    USING (current_setting('app.operator', true) = 'on');
CREATE POLICY maintenance ON bulk_registrations FOR SELECT TO stafett_maintenance USING (true);
GRANT SELECT, INSERT, UPDATE (label, activity, status, attempt, request_id, registered, failed, cancelled, retried,
    error, edits, completed_at, deleted_at) ON bulk_registrations TO stafett_api;
GRANT SELECT, UPDATE (status, registered, failed, cancelled, error, completed_at) ON bulk_registrations
    TO stafett_worker;
-- Everything but the label and the activity, which contains the note and the place.
GRANT SELECT (id, org_id, requested_by, status, attempt, request_id, total, registered, failed, cancelled, period_start,
    period_end, corrects, retried, warnings, error, edits, changes, created_at, updated_at, completed_at, deleted_at),
    UPDATE (status, registered, failed, cancelled, error, completed_at) ON bulk_registrations TO stafett_maintenance;
GRANT SELECT (id, org_id, label, activity), UPDATE (activity) ON bulk_registrations TO stafett_erasure;

-- Each item is updated soon after its insert. No index contains the status, and the fill factor leaves space on the
-- page for the new version of the row, so that the update does not touch an index.
CREATE TABLE bulk_items (
    batch_id uuid NOT NULL,
    position integer NOT NULL CHECK (position >= 0),
    org_id varchar NOT NULL REFERENCES organisations,
    chunk integer NOT NULL CHECK (chunk >= 0),
    client_ref varchar NOT NULL CHECK (length(client_ref) BETWEEN 1 AND 200),
    mentor_ref varchar NOT NULL CHECK (length(mentor_ref) BETWEEN 1 AND 200),
    mentor_id uuid,
    overrides jsonb NOT NULL CHECK (jsonb_typeof(overrides) = 'object'),
    validation_error varchar,
    activity_id uuid NOT NULL,
    event_id uuid,
    status varchar NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'registered', 'failed', 'cancelled')),
    error_code varchar CHECK (error_code IN (
        'mentor_not_found', 'mentor_inactive', 'overlapping_activity', 'invalid_activity', 'temporarily_unavailable')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    PRIMARY KEY (batch_id, position),
    FOREIGN KEY (org_id, batch_id) REFERENCES bulk_registrations (org_id, id),
    CHECK ((status = 'failed') = (error_code IS NOT NULL))
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX bulk_items_client_ref_per_batch ON bulk_items (batch_id, client_ref);
CREATE INDEX bulk_items_by_chunk ON bulk_items (batch_id, chunk, position);
CREATE INDEX bulk_items_of_mentor ON bulk_items (org_id, mentor_id);

CREATE TRIGGER bulk_items_check_update BEFORE UPDATE ON bulk_items FOR EACH ROW
    WHEN ((NEW.status <> OLD.status AND OLD.status <> 'pending'
            AND NOT (NEW.status = 'pending' AND OLD.status <> 'registered'))
        OR NEW.position <> OLD.position OR NEW.client_ref <> OLD.client_ref OR NEW.activity_id <> OLD.activity_id)
    EXECUTE FUNCTION reject_change(
        'an item cannot make this status transition, or change its position, client_ref or activity_id',
        'check_violation');

GRANT SELECT, INSERT, UPDATE (status, error_code, attempts), DELETE ON bulk_items TO stafett_api;
GRANT SELECT, UPDATE (status, error_code, attempts) ON bulk_items TO stafett_worker;
GRANT SELECT (org_id, batch_id, chunk, position, status, attempts), UPDATE (status, error_code, attempts) ON bulk_items
    TO stafett_maintenance;
GRANT SELECT (org_id, batch_id, position, client_ref, mentor_ref, mentor_id, overrides), UPDATE (overrides)
    ON bulk_items TO stafett_erasure;

-- Locks the peer mentors of a chunk's pending items, in one order, before its activities are registered. A correction of
-- an activity locks the mentor too: otherwise each could wait for a time that the other one has taken. Batches share the
-- lock. A function, because only a role that may change mentors can lock them.
CREATE FUNCTION lock_mentors_of_chunk(p_batch uuid, p_chunk integer) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM FROM peer_mentors m
        WHERE m.org_id = current_org() AND m.id IN (
            SELECT i.mentor_id FROM bulk_items i
            WHERE i.org_id = current_org() AND i.batch_id = p_batch AND i.chunk = p_chunk AND i.status = 'pending')
        ORDER BY m.id FOR SHARE;
END $$;
REVOKE EXECUTE ON FUNCTION lock_mentors_of_chunk FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_mentors_of_chunk TO stafett_worker;


-- Activities

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
    batch_id uuid,
    event_id uuid,
    edits integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    FOREIGN KEY (org_id, mentor_id) REFERENCES peer_mentors (org_id, id),
    FOREIGN KEY (org_id, batch_id) REFERENCES bulk_registrations (org_id, id),
    CHECK (new_participants BETWEEN 0 AND participants),
    -- An empty range overlaps nothing, so the exclusion constraint would accept it.
    CHECK (ends_at > starts_at AND ends_at - starts_at <= interval '14 days'),
    CHECK (batch_id IS NULL OR registered_by IS NOT NULL),
    CONSTRAINT activities_no_overlap_per_mentor
        EXCLUDE USING gist (mentor_id WITH =, tstzrange(starts_at, ends_at) WITH &&) WHERE (deleted_at IS NULL)
);
CREATE UNIQUE INDEX activities_of_org ON activities (org_id, id);
CREATE INDEX activities_in_report_order ON activities (org_id, starts_at, id) WHERE deleted_at IS NULL;
CREATE INDEX activities_of_batch ON activities (org_id, batch_id, starts_at, id) WHERE batch_id IS NOT NULL;

-- The worker inserts only activities of batches.
CREATE POLICY insert_requires_batch ON activities AS RESTRICTIVE FOR INSERT TO stafett_worker
    WITH CHECK (batch_id IS NOT NULL AND registered_by IS NOT NULL);
-- The API corrects and deletes activities. The peer mentor, the batch and the user who registered an activity stay.
GRANT SELECT, UPDATE (activity_type, starts_at, ends_at, participants, new_participants, place, in_person, in_norway,
    note, event_id, edits, deleted_at) ON activities TO stafett_api;
GRANT SELECT, INSERT ON activities TO stafett_worker;
GRANT SELECT (id, org_id, mentor_id, starts_at, place, note), UPDATE (note) ON activities TO stafett_erasure;

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
GRANT SELECT ON attachments TO stafett_worker;
GRANT SELECT (org_id, activity_id) ON attachments TO stafett_api; -- their number is a field of mappings
GRANT SELECT (id, org_id, activity_id, object_key) ON attachments TO stafett_maintenance; -- to find missing objects
GRANT SELECT, DELETE ON attachments TO stafett_erasure;


-- Exports

-- An export of a re-export names the re-export in reexport_id, and in source_export_id the export whose snapshot it
-- copies. The foreign keys of these two columns are at the end of the file.
CREATE TABLE exports (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    requested_by uuid NOT NULL REFERENCES users,
    parameters jsonb NOT NULL,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    origin varchar NOT NULL DEFAULT 'report' CHECK (origin IN ('report', 'reexport')),
    reexport_id uuid,
    source_export_id uuid,
    status varchar NOT NULL CHECK (status IN (
        'initialised', 'querying_activities', 'mapping_columns', 'generating_file', 'bundling_attachments',
        'storing_file', 'recording_audit', 'completed', 'completed_empty', 'failed', 'cancelling', 'cancelled')),
    attempt integer NOT NULL CHECK (attempt >= 1),
    request_id varchar,
    progress jsonb,
    counts jsonb,
    warnings jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(warnings) = 'array'),
    partial_failure_count integer NOT NULL DEFAULT 0 CHECK (partial_failure_count >= 0),
    not_countable jsonb,
    mapping jsonb,
    file jsonb,
    report_id uuid UNIQUE,
    error jsonb,
    audit_id uuid NOT NULL,
    edits integer NOT NULL DEFAULT 0,
    changes integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    deleted_at timestamptz,
    staging_cleared_at timestamptz,
    -- The decision to remove the files is committed before they are deleted, so that no retry reuses them.
    removal_started_at timestamptz,
    files_removed_at timestamptz,
    -- Since when the file has been missing from the bucket, although it was not removed.
    file_missing_since timestamptz,
    CHECK (period_end >= period_start),
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK ((status IN ('completed', 'completed_empty', 'failed', 'cancelled')) = (completed_at IS NOT NULL)),
    CHECK (status <> 'completed' OR file IS NOT NULL),
    CHECK (deleted_at IS NULL OR status IN ('completed', 'completed_empty', 'failed', 'cancelled')),
    CHECK ((origin = 'reexport') = (reexport_id IS NOT NULL)),
    CHECK (source_export_id IS NULL OR origin = 'reexport'),
    CHECK (files_removed_at IS NULL OR removal_started_at IS NOT NULL),
    CHECK (removal_started_at IS NULL OR completed_at IS NOT NULL)
) WITH (fillfactor = 75);
CREATE UNIQUE INDEX exports_of_org ON exports (org_id, id);
CREATE UNIQUE INDEX exports_of_reexport ON exports (reexport_id);
CREATE INDEX exports_by_org_created_at ON exports (org_id, created_at DESC, id DESC);
CREATE INDEX exports_by_created_at ON exports (created_at DESC, id DESC);
CREATE INDEX exports_by_status ON exports (status, created_at DESC, id DESC);
CREATE INDEX exports_needing_attention ON exports (org_id)
    WHERE origin = 'report' AND deleted_at IS NULL AND status NOT IN ('completed', 'completed_empty', 'cancelled');
CREATE INDEX exports_unfinished ON exports (created_at, id)
    WHERE status NOT IN ('completed', 'completed_empty', 'failed', 'cancelled');
CREATE INDEX exports_staging_to_clear ON exports (completed_at, id) WHERE staging_cleared_at IS NULL;
CREATE INDEX exports_with_files_to_remove ON exports (completed_at, id) WHERE files_removed_at IS NULL;
CREATE INDEX exports_with_removal_to_finish ON exports (completed_at, id)
    WHERE files_removed_at IS NULL AND (deleted_at IS NOT NULL OR removal_started_at IS NOT NULL);

CREATE TRIGGER exports_check_insert BEFORE INSERT ON exports FOR EACH ROW
    WHEN (NEW.status <> 'initialised' OR NEW.attempt <> 1)
    EXECUTE FUNCTION reject_change('an export starts as initialised, with attempt 1', 'check_violation');
CREATE TRIGGER exports_check_update BEFORE UPDATE ON exports FOR EACH ROW
    EXECUTE FUNCTION check_job_update('an export');
CREATE TRIGGER exports_immutable_columns BEFORE UPDATE ON exports FOR EACH ROW
    WHEN ((NEW.id, NEW.org_id, NEW.requested_by, NEW.parameters, NEW.origin, NEW.reexport_id, NEW.source_export_id,
           NEW.created_at)
        IS DISTINCT FROM
        (OLD.id, OLD.org_id, OLD.requested_by, OLD.parameters, OLD.origin, OLD.reexport_id, OLD.source_export_id,
           OLD.created_at))
    EXECUTE FUNCTION reject_change('the request of an export is immutable', 'check_violation');
CREATE TRIGGER exports_notify_change AFTER UPDATE ON exports FOR EACH ROW
    WHEN (NEW.status <> OLD.status OR NEW.edits <> OLD.edits OR NEW.deleted_at IS DISTINCT FROM OLD.deleted_at)
    EXECUTE FUNCTION notify_job_changed();

-- Operators see the jobs and states of every organisation, but none of their data.
CREATE POLICY operators ON exports FOR SELECT TO stafett_api USING (current_setting('app.operator', true) = 'on');
CREATE POLICY maintenance ON exports FOR SELECT TO stafett_maintenance USING (true);
-- The API inserts the exports that users request, and the worker inserts those of re-exports.
CREATE POLICY api_inserts_requested ON exports AS RESTRICTIVE FOR INSERT TO stafett_api WITH CHECK (origin = 'report');
CREATE POLICY worker_inserts_reexports ON exports AS RESTRICTIVE FOR INSERT TO stafett_worker
    WITH CHECK (origin = 'reexport');
GRANT SELECT, INSERT, UPDATE ON exports TO stafett_api, stafett_worker;
GRANT SELECT, UPDATE ON exports TO stafett_maintenance;
GRANT SELECT, UPDATE (removal_started_at, files_removed_at) ON exports TO stafett_erasure;

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
CREATE POLICY operators ON export_attempts FOR SELECT TO stafett_api
    USING (current_setting('app.operator', true) = 'on');
GRANT SELECT, INSERT ON export_attempts TO stafett_api;
GRANT SELECT, INSERT, UPDATE ON export_attempts TO stafett_worker;
GRANT SELECT, UPDATE ON export_attempts TO stafett_maintenance;

-- How many executions of a stage ended without a result: their worker crashed, or an unexpected error occurred.
CREATE TABLE export_stage_crashes (
    export_id uuid NOT NULL,
    attempt integer NOT NULL,
    stage varchar NOT NULL,
    org_id varchar NOT NULL REFERENCES organisations,
    crashes integer NOT NULL CHECK (crashes >= 0),
    PRIMARY KEY (export_id, attempt, stage),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON export_stage_crashes TO stafett_worker;
GRANT SELECT (export_id, org_id), DELETE ON export_stage_crashes TO stafett_maintenance;

-- The references, counts and hashes that a finished stage passes to the next one.
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
-- The API compares the snapshots of two versions of a report.
GRANT SELECT (export_id, stage, org_id, outputs), DELETE ON export_stage_outputs TO stafett_api;
GRANT SELECT, INSERT, DELETE ON export_stage_outputs TO stafett_worker;
GRANT SELECT ON export_stage_outputs TO stafett_maintenance, stafett_erasure;
GRANT DELETE ON export_stage_outputs TO stafett_maintenance;

-- The finished parts of an unfinished mapping stage: the objects of each part, and what the part adds to the outcome.
-- Removing files deletes the rows, and retention reads which objects they protect. Neither can read the outcome.
CREATE TABLE export_mapped_parts (
    export_id uuid NOT NULL,
    number integer NOT NULL CHECK (number >= 0),
    org_id varchar NOT NULL REFERENCES organisations,
    input_sha256 varchar NOT NULL CHECK (input_sha256 ~ '^[0-9a-f]{64}$'),
    parts jsonb NOT NULL CHECK (jsonb_typeof(parts) = 'object'),
    outcome jsonb NOT NULL CHECK (jsonb_typeof(outcome) = 'object'),
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (export_id, number),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id)
);
GRANT SELECT, INSERT, DELETE ON export_mapped_parts TO stafett_worker;
GRANT SELECT (export_id, org_id), DELETE ON export_mapped_parts TO stafett_api, stafett_erasure;
GRANT SELECT (export_id, org_id, parts), DELETE ON export_mapped_parts TO stafett_maintenance;

-- Exports that have objects in the bucket of an attempt without a row, as after a restore of the database to an earlier
-- moment. The objects are deleted only after days, because another restore may bring the rows back.
CREATE TABLE unknown_exports (
    export_id uuid PRIMARY KEY,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE (last_seen_at), DELETE ON unknown_exports TO stafett_maintenance;

-- Separate from exports because of its size: up to a thousand reports, each with the ids of up to a thousand rows.
-- The deviating rows themselves are objects in storage; retention reads which of them it must not delete.
CREATE TABLE export_partial_failures (
    export_id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    reports jsonb NOT NULL CHECK (jsonb_typeof(reports) = 'array' AND jsonb_array_length(reports) <= 1000),
    deviations jsonb CHECK (jsonb_typeof(deviations) = 'object'),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id)
);
GRANT SELECT, DELETE ON export_partial_failures TO stafett_api;
GRANT SELECT, INSERT, DELETE ON export_partial_failures TO stafett_worker;
GRANT SELECT (export_id, org_id, deviations), DELETE ON export_partial_failures TO stafett_maintenance;


-- Reports and re-exports

-- The history has one report per completed export, and one file version per file that was made for the report.
CREATE TABLE reports (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    export_id uuid NOT NULL UNIQUE,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    parameters jsonb NOT NULL,
    submitted_at timestamptz,
    submitted_version integer,
    grant_year integer CHECK (grant_year BETWEEN 1900 AND 2300),
    edits integer NOT NULL DEFAULT 0,
    changes integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id),
    CHECK ((submitted_at IS NULL) = (submitted_version IS NULL)),
    CHECK (submitted_at IS NULL OR grant_year IS NOT NULL)
);
CREATE UNIQUE INDEX reports_of_org ON reports (org_id, id);
CREATE INDEX reports_by_org_created_at ON reports (org_id, created_at DESC, id DESC);
CREATE INDEX reports_not_submitted ON reports (org_id) WHERE submitted_at IS NULL;

CREATE FUNCTION count_report_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changes := OLD.changes + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER reports_count_change BEFORE UPDATE ON reports FOR EACH ROW EXECUTE FUNCTION count_report_change();
CREATE TRIGGER reports_immutable_columns BEFORE UPDATE ON reports FOR EACH ROW
    WHEN ((NEW.id, NEW.org_id, NEW.export_id, NEW.parameters, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.org_id, OLD.export_id, OLD.parameters, OLD.created_at))
    EXECUTE FUNCTION reject_change('the source of a report is immutable', 'check_violation');

CREATE POLICY maintenance ON reports FOR SELECT TO stafett_maintenance USING (true);
GRANT SELECT, UPDATE (submitted_at, submitted_version, grant_year, edits) ON reports TO stafett_api;
GRANT SELECT, INSERT ON reports TO stafett_worker;
GRANT SELECT (id, org_id, grant_year) ON reports TO stafett_maintenance;
GRANT SELECT (id, org_id, grant_year) ON reports TO stafett_erasure;

-- A request to re-export a report, and its result. A report has at most one unfinished re-export; attempt numbers the
-- re-exports of one report. The column source_export_id names the export whose snapshot is copied, export_id the export
-- that makes the file, and result_export_id the export whose file is the result.
CREATE TABLE report_reexports (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    report_id uuid NOT NULL,
    attempt integer NOT NULL CHECK (attempt >= 1),
    requested_by uuid NOT NULL REFERENCES users,
    request jsonb NOT NULL CHECK (jsonb_typeof(request) = 'object'),
    source_export_id uuid,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    status varchar NOT NULL CHECK (status IN (
        'pending', 'exporting', 'storing_result', 'notifying', 'completed', 'failed', 'cancelling', 'cancelled')),
    -- How many executions in the current status ended without a result.
    crashes integer NOT NULL DEFAULT 0 CHECK (crashes >= 0),
    request_id varchar,
    run_id varchar,
    export_id uuid UNIQUE,
    file_version integer,
    file jsonb,
    result_export_id uuid,
    -- Whether nothing has changed since the version file_version, so that the re-export has added none.
    unchanged boolean NOT NULL DEFAULT false,
    notified_at timestamptz,
    label varchar CHECK (length(label) BETWEEN 1 AND 200),
    error jsonb,
    audit_id uuid NOT NULL,
    edits integer NOT NULL DEFAULT 0,
    changes integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    FOREIGN KEY (org_id, report_id) REFERENCES reports (org_id, id),
    FOREIGN KEY (org_id, source_export_id) REFERENCES exports (org_id, id),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id),
    FOREIGN KEY (org_id, result_export_id) REFERENCES exports (org_id, id),
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK ((status IN ('completed', 'failed', 'cancelled')) = (completed_at IS NOT NULL)),
    CHECK (status NOT IN ('exporting', 'storing_result') OR export_id IS NOT NULL),
    CHECK ((status IN ('notifying', 'completed')) = (file IS NOT NULL)),
    CHECK ((file IS NULL) = (file_version IS NULL) AND (file IS NULL) = (result_export_id IS NULL)),
    CHECK (NOT unchanged OR file IS NOT NULL)
) WITH (fillfactor = 75);
CREATE UNIQUE INDEX report_reexports_of_org ON report_reexports (org_id, id);
CREATE UNIQUE INDEX report_reexports_attempt_per_report ON report_reexports (report_id, attempt);
CREATE UNIQUE INDEX report_reexports_one_unfinished_per_report ON report_reexports (report_id)
    WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX report_reexports_by_org_created_at ON report_reexports (org_id, created_at DESC, id DESC);
CREATE INDEX report_reexports_by_created_at ON report_reexports (created_at DESC, id DESC);
CREATE INDEX report_reexports_by_status ON report_reexports (status, created_at DESC, id DESC);
CREATE INDEX report_reexports_needing_attention ON report_reexports (org_id)
    WHERE status NOT IN ('completed', 'cancelled');
CREATE INDEX report_reexports_unfinished ON report_reexports (created_at, id)
    WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX report_reexports_by_result ON report_reexports (org_id, result_export_id);

CREATE FUNCTION reset_reexport_crashes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.crashes := 0;
    RETURN NEW;
END $$;
CREATE TRIGGER report_reexports_check_insert BEFORE INSERT ON report_reexports FOR EACH ROW
    WHEN (NEW.status <> 'pending')
    EXECUTE FUNCTION reject_change('a re-export starts as pending', 'check_violation');
CREATE TRIGGER report_reexports_check_update BEFORE UPDATE ON report_reexports FOR EACH ROW
    EXECUTE FUNCTION check_job_update('a re-export');
-- export_id and file_version are written once. Erasing a person clears the reason.
CREATE TRIGGER report_reexports_immutable_columns BEFORE UPDATE ON report_reexports FOR EACH ROW
    WHEN ((NEW.id, NEW.org_id, NEW.report_id, NEW.attempt, NEW.requested_by, NEW.request - 'reason',
           NEW.source_export_id, NEW.created_at)
        IS DISTINCT FROM
        (OLD.id, OLD.org_id, OLD.report_id, OLD.attempt, OLD.requested_by, OLD.request - 'reason',
           OLD.source_export_id, OLD.created_at)
        OR (NEW.request->>'reason' IS NOT NULL AND NEW.request->'reason' IS DISTINCT FROM OLD.request->'reason')
        OR NEW.export_id IS DISTINCT FROM coalesce(OLD.export_id, NEW.export_id)
        OR NEW.file_version IS DISTINCT FROM coalesce(OLD.file_version, NEW.file_version))
    EXECUTE FUNCTION reject_change('the request of a re-export is immutable', 'check_violation');
CREATE TRIGGER report_reexports_reset_crashes BEFORE UPDATE ON report_reexports FOR EACH ROW
    WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION reset_reexport_crashes();
CREATE TRIGGER report_reexports_notify_change AFTER UPDATE ON report_reexports FOR EACH ROW
    WHEN (NEW.status <> OLD.status OR NEW.edits <> OLD.edits)
    EXECUTE FUNCTION notify_job_changed();

CREATE POLICY operators ON report_reexports FOR SELECT TO stafett_api
    USING (current_setting('app.operator', true) = 'on');
CREATE POLICY maintenance ON report_reexports FOR SELECT TO stafett_maintenance USING (true);
GRANT SELECT, INSERT, UPDATE (status, label, notified_at, file, result_export_id, edits) ON report_reexports
    TO stafett_api;
GRANT SELECT, UPDATE (status, crashes, run_id, export_id, file_version, file, result_export_id, unchanged, notified_at,
    error, completed_at) ON report_reexports TO stafett_worker;
-- Everything but the label and the request, which contains the reason.
GRANT SELECT (id, org_id, report_id, attempt, requested_by, source_export_id, period_start, period_end, status, crashes,
    request_id, run_id, export_id, file_version, file, result_export_id, unchanged, notified_at, error, audit_id, edits,
    changes, created_at, updated_at, completed_at),
    UPDATE (status, notified_at, error, completed_at) ON report_reexports TO stafett_maintenance;
GRANT SELECT (id, org_id, result_export_id, label, request), UPDATE (request) ON report_reexports TO stafett_erasure;

-- A version of a re-export names its data source, the reason, and how it differs from the previous version. A version
-- with submitted_at was handed in to Bufdir at that time; submitted_reference is Bufdir's reference of that.
CREATE TABLE report_files (
    report_id uuid NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    org_id varchar NOT NULL REFERENCES organisations,
    export_id uuid NOT NULL,
    kind varchar NOT NULL CHECK (kind IN ('original', 'reexport')),
    file jsonb NOT NULL,
    mapping jsonb NOT NULL,
    reexport_id uuid UNIQUE,
    source varchar CHECK (source IN ('current_data', 'same_snapshot')),
    reason varchar,
    change jsonb,
    submitted_at timestamptz,
    submitted_reference varchar CHECK (length(submitted_reference) BETWEEN 1 AND 200),
    created_by uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (report_id, version),
    FOREIGN KEY (org_id, report_id) REFERENCES reports (org_id, id),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id),
    FOREIGN KEY (org_id, reexport_id) REFERENCES report_reexports (org_id, id),
    CHECK ((kind = 'reexport') = (reexport_id IS NOT NULL)),
    CHECK ((kind = 'reexport') = (source IS NOT NULL)),
    CHECK ((kind = 'reexport') = (change IS NOT NULL)),
    CHECK (reason IS NULL OR kind = 'reexport'),
    CHECK (submitted_reference IS NULL OR submitted_at IS NOT NULL)
);
CREATE INDEX report_files_of_export ON report_files (org_id, export_id);

CREATE TRIGGER report_files_append_only BEFORE DELETE OR TRUNCATE ON report_files FOR EACH STATEMENT
    EXECUTE FUNCTION reject_change('the file versions of a report are append-only', 'insufficient_privilege');
-- Erasing a person clears the reason, and a user marks a version as handed in or takes that back.
CREATE TRIGGER report_files_immutable BEFORE UPDATE ON report_files FOR EACH ROW
    WHEN ((NEW.reason IS NOT NULL AND NEW.reason IS DISTINCT FROM OLD.reason)
        OR to_jsonb(NEW) - '{reason,submitted_at,submitted_reference}'::text[]
            IS DISTINCT FROM to_jsonb(OLD) - '{reason,submitted_at,submitted_reference}'::text[])
    EXECUTE FUNCTION reject_change('the file versions of a report are append-only', 'insufficient_privilege');
ALTER TABLE report_files ENABLE ALWAYS TRIGGER report_files_append_only;
ALTER TABLE report_files ENABLE ALWAYS TRIGGER report_files_immutable;

CREATE POLICY maintenance ON report_files FOR SELECT TO stafett_maintenance USING (true);
GRANT SELECT, UPDATE (submitted_at, submitted_reference) ON report_files TO stafett_api;
GRANT SELECT, INSERT ON report_files TO stafett_worker;
GRANT SELECT (org_id, report_id, version, export_id, reexport_id, submitted_at) ON report_files TO stafett_maintenance;
GRANT SELECT (org_id, report_id, version, export_id, reexport_id, submitted_at, submitted_reference, reason),
    UPDATE (reason) ON report_files TO stafett_erasure;

-- The versions that were handed in, each with the exports under whose prefixes its file is stored: the one that made it,
-- and the one to which an administrator has moved it. A version is protected for five full years after the grant year.
CREATE VIEW handed_in_versions WITH (security_invoker = true) AS
    WITH versions AS (
        SELECT f.org_id, f.export_id, f.report_id, f.version, f.submitted_at
        FROM report_files f
        WHERE f.submitted_at IS NOT NULL
        UNION ALL
        SELECT x.org_id, x.result_export_id, f.report_id, f.version, f.submitted_at
        FROM report_reexports x
        JOIN report_files f ON f.reexport_id = x.id
        WHERE f.submitted_at IS NOT NULL AND x.result_export_id <> f.export_id
    )
    SELECT v.*, now() < make_timestamptz(r.grant_year + 6, 1, 1, 0, 0, 0, 'Europe/Oslo') AS is_protected
    FROM versions v
    JOIN reports r ON r.org_id = v.org_id AND r.id = v.report_id;
GRANT SELECT ON handed_in_versions TO stafett_api, stafett_worker, stafett_maintenance, stafett_erasure;

-- The file of a protected version is removed only in a transaction with the setting app.confirm, or after the deletion of
-- its export, which has such a transaction too. The function runs as the owner, because a role sees less than the table.
CREATE FUNCTION protect_handed_in_file() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF current_setting('app.confirm', true) IS DISTINCT FROM 'handed_in' AND EXISTS (
        SELECT FROM handed_in_versions h WHERE h.org_id = NEW.org_id AND h.export_id = NEW.id AND h.is_protected) THEN
        RAISE EXCEPTION 'a file that was handed in is removed only after a confirmation'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER exports_protect_handed_in BEFORE UPDATE ON exports FOR EACH ROW
    WHEN (OLD.deleted_at IS NULL AND (NEW.deleted_at IS NOT NULL
        OR (OLD.removal_started_at IS NULL AND NEW.removal_started_at IS NOT NULL)))
    EXECUTE FUNCTION protect_handed_in_file();

-- Marking a version waits for a removal of its file that is not committed yet, and such a removal for the mark: each
-- then sees the other.
CREATE FUNCTION lock_exports_of_version() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM FROM exports e
        WHERE e.id = NEW.export_id
            OR e.id = (SELECT x.result_export_id FROM report_reexports x WHERE x.id = NEW.reexport_id)
        ORDER BY e.id FOR SHARE;
    RETURN NEW;
END $$;
CREATE TRIGGER report_files_lock_exports BEFORE UPDATE ON report_files FOR EACH ROW
    WHEN (OLD.submitted_at IS NULL AND NEW.submitted_at IS NOT NULL)
    EXECUTE FUNCTION lock_exports_of_version();


-- Column mappings

CREATE TABLE column_mappings (
    org_id varchar NOT NULL REFERENCES organisations,
    version integer NOT NULL CHECK (version >= 1),
    id uuid NOT NULL UNIQUE,
    effective_from date NOT NULL,
    sha256 varchar NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    document json NOT NULL CHECK (json_typeof(document) = 'object'),
    created_by uuid REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, version)
);
CREATE INDEX column_mappings_by_day ON column_mappings (org_id, effective_from DESC, version DESC);

CREATE TRIGGER column_mappings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON column_mappings FOR EACH STATEMENT
    EXECUTE FUNCTION reject_change('the versions of a column mapping are append-only', 'insufficient_privilege');
ALTER TABLE column_mappings ENABLE ALWAYS TRIGGER column_mappings_append_only;

GRANT SELECT, INSERT ON column_mappings TO stafett_api;
GRANT SELECT ON column_mappings TO stafett_worker;
GRANT SELECT (id, org_id, document) ON column_mappings TO stafett_erasure;


-- Notifications and webhooks

-- The outcome of one attempt at a job, for the user who requested it, inserted in the transaction of the final status.
CREATE TABLE notifications (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    user_id uuid NOT NULL REFERENCES users,
    kind varchar NOT NULL CHECK (kind = subject_kind || '_ended'),
    subject_kind varchar NOT NULL CHECK (subject_kind IN ('export', 'reexport', 'bulk_registration')),
    subject_id uuid NOT NULL,
    attempt integer NOT NULL CHECK (attempt >= 1),
    status varchar NOT NULL CHECK (status IN (
        'completed', 'completed_empty', 'completed_with_failures', 'failed', 'cancelled')),
    created_at timestamptz NOT NULL DEFAULT now(),
    read_at timestamptz
);
CREATE UNIQUE INDEX notifications_of_org ON notifications (org_id, id);
CREATE UNIQUE INDEX notifications_once_per_attempt ON notifications (org_id, subject_id, attempt);
CREATE INDEX notifications_by_user_created_at ON notifications (org_id, user_id, created_at DESC, id DESC);

ALTER TABLE notifications ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_notifications ON notifications TO stafett_api
    USING (org_id = current_org() AND user_id = current_user_id());
CREATE POLICY own_organisation ON notifications TO stafett_worker, stafett_maintenance
    USING (org_id = current_org()) WITH CHECK (org_id = current_org());
CREATE POLICY own_organisation_erasure ON notifications FOR SELECT TO stafett_erasure USING (org_id = current_org());
CREATE POLICY maintenance ON notifications FOR SELECT TO stafett_maintenance USING (true);
GRANT SELECT, UPDATE (read_at) ON notifications TO stafett_api;
GRANT SELECT, INSERT ON notifications TO stafett_worker, stafett_maintenance;
GRANT SELECT (id, org_id, user_id) ON notifications TO stafett_erasure;

CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    url varchar NOT NULL CHECK (url ~* '^https?://' AND length(url) <= 2000),
    description varchar CHECK (length(description) <= 200),
    created_by uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX webhooks_of_org ON webhooks (org_id, id);
CREATE INDEX webhooks_by_org_created_at ON webhooks (org_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
GRANT SELECT, INSERT, UPDATE (disabled_at, deleted_at) ON webhooks TO stafett_api;
GRANT SELECT, UPDATE (disabled_at) ON webhooks TO stafett_worker;
GRANT SELECT (id, org_id, disabled_at, deleted_at) ON webhooks TO stafett_maintenance;
GRANT SELECT (id, org_id, url, description), UPDATE (description) ON webhooks TO stafett_erasure;

-- Separate from webhooks, so that the API can write a secret but not read it, and can delete it with its webhook.
CREATE TABLE webhook_secrets (
    webhook_id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    secret varchar NOT NULL CHECK (secret LIKE 'whsec\_%'),
    previous_secret varchar CHECK (previous_secret LIKE 'whsec\_%'),
    previous_expires_at timestamptz,
    FOREIGN KEY (org_id, webhook_id) REFERENCES webhooks (org_id, id),
    CHECK ((previous_secret IS NULL) = (previous_expires_at IS NULL))
);

-- For one day after a change of the secret, messages have the signatures of both secrets. The API cannot read the
-- previous secret, so the trigger stores it.
CREATE FUNCTION store_previous_secret() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.previous_secret := OLD.secret;
    NEW.previous_expires_at := clock_timestamp() + interval '1 day';
    RETURN NEW;
END $$;
CREATE TRIGGER webhook_secrets_store_previous BEFORE UPDATE OF secret ON webhook_secrets FOR EACH ROW
    EXECUTE FUNCTION store_previous_secret();

GRANT SELECT (webhook_id, org_id), INSERT, UPDATE (secret), DELETE ON webhook_secrets TO stafett_api;
GRANT SELECT ON webhook_secrets TO stafett_worker;

-- The outbox: one message to one receiver. An email is about a notification or invites a member. A delivery without a
-- notification to a webhook is a test of it.
CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    notification_id uuid,
    webhook_id uuid,
    invited_user_id uuid REFERENCES users,
    channel varchar NOT NULL CHECK (channel IN ('email', 'webhook')),
    state varchar NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'failed', 'delivered', 'given_up')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- How many attempts the receiver failed. An attempt that our own outage interrupted is not among them.
    failures integer NOT NULL DEFAULT 0 CHECK (failures BETWEEN 0 AND attempts),
    last_error varchar CHECK (last_error ~ '^[a-z0-9_]{1,40}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_tried_at timestamptz,
    settled_at timestamptz,
    FOREIGN KEY (org_id, notification_id) REFERENCES notifications (org_id, id),
    FOREIGN KEY (org_id, webhook_id) REFERENCES webhooks (org_id, id),
    CHECK ((channel = 'webhook') = (webhook_id IS NOT NULL)),
    CHECK (channel = 'webhook' OR num_nonnulls(notification_id, invited_user_id) = 1),
    CHECK (channel = 'email' OR invited_user_id IS NULL),
    CHECK ((state IN ('delivered', 'given_up')) = (settled_at IS NOT NULL))
) WITH (fillfactor = 75);
CREATE INDEX deliveries_of_notification ON deliveries (org_id, notification_id);
CREATE INDEX deliveries_of_webhook ON deliveries (org_id, webhook_id, created_at DESC, id DESC);
CREATE INDEX deliveries_open ON deliveries (created_at, id) WHERE state IN ('pending', 'failed');

CREATE TRIGGER deliveries_check_update BEFORE UPDATE ON deliveries FOR EACH ROW
    WHEN (OLD.state IN ('delivered', 'given_up'))
    EXECUTE FUNCTION reject_change('a settled delivery is immutable', 'check_violation');

-- The worker cannot read users. This function returns the address and the language of an open email delivery, if the
-- delivery belongs to the transaction's organisation and the user is a member of it.
CREATE FUNCTION get_delivery_recipient(p_delivery_id uuid) RETURNS TABLE (address varchar, language varchar)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT u.email, u.language
    FROM deliveries d
    LEFT JOIN notifications n ON n.org_id = d.org_id AND n.id = d.notification_id
    JOIN memberships m ON m.org_id = d.org_id AND m.user_id = coalesce(n.user_id, d.invited_user_id)
    JOIN users u ON u.id = m.user_id
    WHERE d.id = p_delivery_id AND d.org_id = current_org()
        AND d.channel = 'email' AND d.state IN ('pending', 'failed')
$$;
REVOKE EXECUTE ON FUNCTION get_delivery_recipient FROM PUBLIC;
GRANT EXECUTE ON FUNCTION get_delivery_recipient TO stafett_worker;

CREATE POLICY maintenance ON deliveries FOR SELECT TO stafett_maintenance USING (true);
GRANT SELECT, INSERT ON deliveries TO stafett_api;
GRANT SELECT, INSERT, UPDATE (state, attempts, failures, last_error, last_tried_at, settled_at) ON deliveries
    TO stafett_worker, stafett_maintenance;
GRANT SELECT, UPDATE (state, last_error, settled_at) ON deliveries TO stafett_erasure;


-- Audit trail

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
-- For auditors, who search a chain that grows for ever by the name of an event, by actor and by time.
CREATE INDEX audit_events_by_event ON audit_events (org_id, event, seq);
CREATE INDEX audit_events_by_actor ON audit_events (org_id, actor, seq);
CREATE INDEX audit_events_by_time ON audit_events (org_id, at, seq);
-- A client that polls gets the same download link all day, and the audit trail records it once.
CREATE UNIQUE INDEX audit_events_one_link_per_day
    ON audit_events (org_id, subject_id, actor, (detail ->> 'day'), (detail ->> 'sha256')) WHERE event = 'link_issued';

CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events FOR EACH STATEMENT
    EXECUTE FUNCTION reject_change('the audit trail is append-only', 'insufficient_privilege');
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_append_only;

-- Checkpoints cover the chains of all organisations.
CREATE POLICY maintenance ON audit_events FOR SELECT TO stafett_maintenance USING (true);
GRANT SELECT ON audit_events TO stafett_api, stafett_worker, stafett_maintenance;

-- RFC 8785 for the values that details consist of: objects with ASCII keys, arrays, text, integers, booleans and null.
CREATE FUNCTION canonical_json(value jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    CASE jsonb_typeof(value)
        WHEN 'object' THEN
            RETURN '{' || coalesce((SELECT string_agg(to_json(key)::text || ':' || canonical_json(each.value), ','
                                                      ORDER BY key COLLATE "C")
                                    FROM jsonb_each(value) AS each), '') || '}';
        WHEN 'array' THEN
            RETURN '[' || coalesce((SELECT string_agg(canonical_json(element), ',' ORDER BY index)
                                    FROM jsonb_array_elements(value) WITH ORDINALITY AS e (element, index)), '') || ']';
        WHEN 'number' THEN
            -- RFC 8785 writes 1.0 as 1, but jsonb stores 1.0, and a program that verifies the chain would read it so.
            IF scale(value::numeric) > 0 OR abs(value::numeric) > 9007199254740991 THEN
                RAISE EXCEPTION 'numbers in audit details must be integers below 2^53, without a decimal point'
                    USING ERRCODE = 'check_violation';
            END IF;
            RETURN value::text;
        ELSE
            RETURN value::text;
    END CASE;
END $$;

-- The row of an organisation is the lock of its chain. No role can read or lock it except through append_audit_event,
-- as opposed to an advisory lock, which any client could hold.
CREATE TABLE audit_chain_locks (
    org_id varchar PRIMARY KEY
);

-- The only way to insert an audit event. The function locks the organisation's chain until the transaction ends, so it
-- must be the last statement of the transaction.
CREATE FUNCTION append_audit_event(
    p_id uuid, p_org_id varchar, p_actor varchar, p_event varchar, p_subject_kind varchar, p_subject_id uuid,
    p_status varchar, p_detail jsonb
) RETURNS audit_events LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    last audit_events;
    link audit_events;
BEGIN
    IF p_org_id IS DISTINCT FROM current_org() THEN
        RAISE EXCEPTION 'an audit event must belong to the organisation of the transaction'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM FROM audit_chain_locks l WHERE l.org_id = p_org_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO audit_chain_locks VALUES (p_org_id) ON CONFLICT DO NOTHING;
        PERFORM FROM audit_chain_locks l WHERE l.org_id = p_org_id FOR NO KEY UPDATE;
    END IF;
    SELECT * INTO last FROM audit_events e WHERE e.org_id = p_org_id ORDER BY e.seq DESC LIMIT 1;
    link := (p_org_id, coalesce(last.seq, 0) + 1, p_id, clock_timestamp(), p_actor, p_event, p_subject_kind,
             p_subject_id, p_status, p_detail, '', coalesce(last.hash, repeat('0', 64)));
    link.hash := encode(sha256(convert_to(canonical_json(jsonb_build_object(
        'org_id', link.org_id, 'seq', link.seq, 'id', link.id,
        'at', to_char(link.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'actor', link.actor, 'event', link.event, 'subject_kind', link.subject_kind, 'subject_id', link.subject_id,
        'status', link.status, 'detail', link.detail, 'previous_hash', link.previous_hash)), 'UTF8')), 'hex');
    INSERT INTO audit_events SELECT link.*;
    RETURN link;
END $$;
REVOKE EXECUTE ON FUNCTION append_audit_event FROM PUBLIC;
GRANT EXECUTE ON FUNCTION append_audit_event TO stafett_api, stafett_worker, stafett_maintenance, stafett_erasure;

-- The result of the last verification of a whole chain. The checkpoints do not depend on it: it is for alarms, and it
-- decides which chains are due.
CREATE TABLE audit_verifications (
    org_id varchar PRIMARY KEY,
    verified_at timestamptz NOT NULL,
    last_seq bigint NOT NULL CHECK (last_seq >= 0),
    broken_seq bigint,
    broken_reason varchar,
    checkpoints integer CHECK (checkpoints >= 0),
    newest_checkpoint_at timestamptz,
    CHECK ((broken_seq IS NULL) = (broken_reason IS NULL))
);
CREATE INDEX audit_verifications_broken ON audit_verifications (org_id) WHERE broken_seq IS NOT NULL;
CREATE POLICY maintenance ON audit_verifications TO stafett_maintenance USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON audit_verifications TO stafett_maintenance;
GRANT SELECT ON audit_verifications TO stafett_api;

-- A supervisor's request to verify the organisation's chain before it is due; the verification that answers it deletes
-- it. It is a table of its own, because the API must not be able to write results.
CREATE TABLE audit_verification_requests (
    org_id varchar PRIMARY KEY,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE POLICY maintenance ON audit_verification_requests TO stafett_maintenance USING (true);
GRANT SELECT, DELETE ON audit_verification_requests TO stafett_maintenance;
GRANT SELECT, INSERT ON audit_verification_requests TO stafett_api;


-- Maintenance

-- When each scheduled task last finished, for metrics and alerts; the age of a task that has never run counts from the
-- installation.
CREATE TABLE maintenance_runs (
    task varchar PRIMARY KEY,
    finished_at timestamptz NOT NULL DEFAULT now(),
    errors integer NOT NULL DEFAULT 0 CHECK (errors >= 0)
);
INSERT INTO maintenance_runs (task) VALUES
    ('sweep-jobs'), ('apply-retention'), ('reconcile-bucket'), ('checkpoint-audit-chains'), ('verify-audit-chains');
GRANT SELECT, UPDATE (finished_at, errors) ON maintenance_runs TO stafett_maintenance;


-- Erasure of people

-- The name in search_name is required until every copy of it has been searched for: the source row no longer has it,
-- and the next call must be able to continue an interrupted erasure.
CREATE TABLE erasures (
    org_id varchar NOT NULL REFERENCES organisations,
    kind varchar NOT NULL CHECK (kind IN ('mentor', 'user')),
    person_id uuid NOT NULL,
    search_name varchar,
    summary jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(summary) = 'object'),
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (org_id, kind, person_id),
    CHECK (finished_at IS NULL OR search_name IS NULL)
);
GRANT SELECT, INSERT, UPDATE ON erasures TO stafett_erasure;


-- Idempotency keys and previews

CREATE TABLE idempotency_keys (
    org_id varchar NOT NULL REFERENCES organisations,
    operation varchar NOT NULL,
    key varchar NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_sha256 varchar NOT NULL,
    resource_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, operation, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE POLICY maintenance ON idempotency_keys TO stafett_maintenance USING (true);
GRANT SELECT, INSERT ON idempotency_keys TO stafett_api;
GRANT SELECT (created_at), DELETE ON idempotency_keys TO stafett_maintenance;
GRANT SELECT (org_id, key, resource_id), DELETE ON idempotency_keys TO stafett_erasure;

-- A preview travels from the worker to the API's waiting request, and the first read deletes it. It contains rows about
-- people, which no write-ahead log, workflow history or backup (pg_dump --no-unlogged-table-data) may retain. A draft of a
-- column mapping that the preview applies travels to the worker in the same row.
CREATE UNLOGGED TABLE preview_results (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    result json,
    created_at timestamptz NOT NULL DEFAULT now(),
    draft json,
    CHECK (draft IS NOT NULL OR result IS NOT NULL)
);
CREATE INDEX preview_results_by_age ON preview_results (created_at);
CREATE POLICY maintenance ON preview_results TO stafett_maintenance USING (true);
GRANT SELECT, DELETE ON preview_results TO stafett_api, stafett_maintenance;
GRANT INSERT (id, org_id, draft) ON preview_results TO stafett_api;
GRANT SELECT (id, org_id, draft, result), INSERT, UPDATE (result) ON preview_results TO stafett_worker;
GRANT SELECT (org_id), DELETE ON preview_results TO stafett_erasure;


-- Access of requests

-- What the entity tag of a job consists of, and what the headers of a response without a body need. Only a completed job
-- may have a file. Several exports of a re-export count together.
CREATE VIEW job_revisions WITH (security_invoker = true) AS
    SELECT 'BufdirExport' AS kind, id, edits, changes, updated_at, completed_at IS NOT NULL AS is_finished,
        status = 'completed' AS may_have_file
    FROM exports WHERE deleted_at IS NULL
    UNION ALL SELECT 'BulkRegistration', id, edits, changes, updated_at, completed_at IS NOT NULL, false
    FROM bulk_registrations WHERE deleted_at IS NULL
    UNION ALL SELECT 'ReportReexport', r.id, r.edits, r.changes + coalesce(e.changes, 0) + coalesce(f.changes, 0),
        greatest(r.updated_at, e.updated_at), r.completed_at IS NOT NULL, r.status = 'completed'
    FROM report_reexports r
    LEFT JOIN exports e ON e.id = r.export_id
    LEFT JOIN exports f ON f.id = r.result_export_id;
GRANT SELECT ON job_revisions TO stafett_api;

-- Returns a row for each of many requests: the role of its user and of its API key, and the revision of the job that it
-- polls. It sets the tenant of each, so that row-level security applies as in a transaction of its own. The use of a key
-- is recorded once a minute; a locked key is skipped, so that no request waits for the transaction of another one.
CREATE FUNCTION load_access(p_user_ids uuid[], p_org_ids varchar[], p_api_key_ids uuid[], p_job_kinds varchar[],
    p_job_ids uuid[])
    RETURNS TABLE (role varchar, is_operator boolean, key_role varchar, edits integer, changes integer,
        updated_at timestamptz, is_finished boolean, may_have_file boolean)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    request record;
BEGIN
    FOR request IN
        SELECT * FROM unnest(p_user_ids, p_org_ids, p_api_key_ids, p_job_kinds, p_job_ids)
            AS r (user_id, org_id, api_key_id, job_kind, job_id)
    LOOP
        PERFORM set_config('app.user_id', request.user_id::text, true),
            set_config('app.org_id', coalesce(request.org_id, ''), true), set_config('app.operator', '', true);
        IF request.api_key_id IS NOT NULL AND NOT current_setting('transaction_read_only')::boolean THEN
            UPDATE api_keys SET last_used_at = now() WHERE id = (
                SELECT k.id FROM api_keys k
                WHERE k.id = request.api_key_id AND k.revoked_at IS NULL AND k.expires_at > now()
                    AND (k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute')
                FOR UPDATE SKIP LOCKED);
        END IF;
        RETURN QUERY
            SELECT m.role, u.is_operator, k.role, j.edits, j.changes, j.updated_at, j.is_finished, j.may_have_file
            FROM (VALUES (request.user_id)) AS r (user_id)
            LEFT JOIN users u ON u.id = r.user_id
            LEFT JOIN memberships m ON m.user_id = r.user_id AND m.org_id = request.org_id
            LEFT JOIN api_keys k ON k.id = request.api_key_id AND k.revoked_at IS NULL AND k.expires_at > now()
            LEFT JOIN job_revisions j ON j.kind = request.job_kind AND j.id = request.job_id;
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION load_access FROM PUBLIC;
GRANT EXECUTE ON FUNCTION load_access TO stafett_api;


-- Foreign keys from exports to tables that did not exist when exports was created

ALTER TABLE exports
    ADD FOREIGN KEY (org_id, reexport_id) REFERENCES report_reexports (org_id, id),
    ADD FOREIGN KEY (org_id, source_export_id) REFERENCES exports (org_id, id);


-- Row-level security

-- FORCE applies the policies to the owner of the table, too. The policies of organisations, users, user_identities,
-- login_attempts, user_sessions and notifications are above, and the tables of transitions need none.
DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY[
        'memberships', 'api_keys', 'peer_mentors', 'bulk_registrations', 'bulk_items', 'activities', 'attachments',
        'exports', 'export_attempts', 'export_stage_crashes', 'export_stage_outputs', 'export_mapped_parts',
        'export_partial_failures', 'reports', 'report_reexports', 'report_files', 'column_mappings',
        'webhooks', 'webhook_secrets', 'deliveries', 'audit_events', 'audit_chain_locks', 'audit_verifications',
        'audit_verification_requests', 'erasures', 'idempotency_keys', 'preview_results'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY own_organisation ON %I
                        USING (org_id = current_org()) WITH CHECK (org_id = current_org())', tenant_table);
    END LOOP;
END $$;
