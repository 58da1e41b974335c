-- Whom an organisation has asked to be forgotten, and how far that has come. The name stands here only until every
-- copy of it was looked for: it is no longer where it was kept, and somebody may have been killed half way.
CREATE TABLE erasures (
    org_id varchar NOT NULL REFERENCES organisations,
    kind varchar NOT NULL CHECK (kind IN ('mentor', 'user')),
    person_id uuid NOT NULL,
    sought varchar,
    touched jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(touched) = 'object'),
    begun_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (org_id, kind, person_id),
    CHECK (finished_at IS NULL OR sought IS NULL)
);
ALTER TABLE erasures ENABLE ROW LEVEL SECURITY;
ALTER TABLE erasures FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organisation ON erasures USING (org_id = current_org()) WITH CHECK (org_id = current_org());

-- A user belongs to no organisation: the transaction is the user's own, who so reaches their row and no other one.
CREATE POLICY being_forgotten ON users FOR UPDATE TO stafett_erasure USING (id = current_caller());
CREATE POLICY own_organisation_forgets ON notifications FOR SELECT TO stafett_erasure USING (org_id = current_org());

GRANT USAGE ON SCHEMA public TO stafett_erasure;
GRANT SELECT (id) ON organisations TO stafett_erasure;
GRANT SELECT, INSERT, UPDATE ON erasures TO stafett_erasure;
GRANT SELECT, UPDATE (display_name, active) ON peer_mentors TO stafett_erasure;
GRANT SELECT (id, org_id, mentor_id, starts_at, place, note), UPDATE (note) ON activities TO stafett_erasure;
GRANT SELECT, DELETE ON attachments TO stafett_erasure;
GRANT SELECT (org_id), DELETE ON preview_results TO stafett_erasure;
GRANT SELECT, UPDATE (files_removed_at) ON exports TO stafett_erasure;
GRANT SELECT ON export_stage_outputs TO stafett_erasure;
GRANT SELECT, UPDATE (email, display_name, is_operator) ON users TO stafett_erasure;
GRANT SELECT, DELETE ON memberships TO stafett_erasure;
GRANT SELECT (id, org_id, user_id) ON notifications TO stafett_erasure;
GRANT SELECT, UPDATE (state, last_error, settled_at) ON deliveries TO stafett_erasure;
GRANT EXECUTE ON FUNCTION append_audit_event TO stafett_erasure;
