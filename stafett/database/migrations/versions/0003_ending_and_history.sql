-- What became of an export after its end: taken out of sight by somebody, its files removed.
ALTER TABLE exports
    ADD COLUMN report_id uuid UNIQUE,
    ADD COLUMN deleted_at timestamptz,
    ADD COLUMN tidied_at timestamptz,
    ADD COLUMN files_removed_at timestamptz,
    ADD CHECK (deleted_at IS NULL OR status IN ('completed', 'completed_empty', 'failed', 'cancelled'));
CREATE INDEX exports_to_tidy ON exports (completed_at, id) WHERE tidied_at IS NULL;
CREATE INDEX exports_with_files_to_remove ON exports (completed_at, id) WHERE files_removed_at IS NULL;

-- The history: an entry for each completed export, and every file that it was ever made as.
CREATE TABLE reports (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    export_id uuid NOT NULL UNIQUE,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    parameters jsonb NOT NULL,
    submitted_at timestamptz,
    submitted_reference varchar CHECK (length(submitted_reference) BETWEEN 1 AND 200),
    edits integer NOT NULL DEFAULT 0,
    changes integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id)
);
CREATE UNIQUE INDEX reports_of_org ON reports (org_id, id);
CREATE INDEX reports_newest_first ON reports (org_id, created_at DESC, id DESC);

CREATE TABLE report_files (
    report_id uuid NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    org_id varchar NOT NULL REFERENCES organisations,
    export_id uuid NOT NULL,
    kind varchar NOT NULL CHECK (kind IN ('original', 'reexport')),
    file jsonb NOT NULL,
    mapping jsonb NOT NULL,
    created_by uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (report_id, version),
    FOREIGN KEY (org_id, report_id) REFERENCES reports (org_id, id),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id)
);

CREATE FUNCTION guard_report_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.org_id, NEW.export_id, NEW.parameters, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.org_id, OLD.export_id, OLD.parameters, OLD.created_at) THEN
        RAISE EXCEPTION 'what a report was made from never changes' USING ERRCODE = 'check_violation';
    END IF;
    NEW.changes := OLD.changes + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER reports_are_guarded BEFORE UPDATE ON reports FOR EACH ROW EXECUTE FUNCTION guard_report_update();

CREATE FUNCTION refuse_change_of_report_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a version of a report is added, and never changed' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER report_files_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON report_files
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_report_file();
ALTER TABLE report_files ENABLE ALWAYS TRIGGER report_files_never_change;

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['reports', 'report_files'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY own_organisation ON %I USING (org_id = current_org()) WITH CHECK (org_id = current_org())',
                       tenant_table);
    END LOOP;
END $$;

GRANT SELECT, UPDATE (submitted_at, submitted_reference, edits) ON reports TO stafett_api;
GRANT SELECT ON report_files TO stafett_api;
GRANT SELECT (export_id, stage, org_id), DELETE ON export_stage_outputs TO stafett_api;
GRANT DELETE ON export_partial_failures TO stafett_api;
GRANT SELECT, INSERT ON reports, report_files TO stafett_worker;
GRANT SELECT ON export_stage_outputs TO stafett_maintenance;
