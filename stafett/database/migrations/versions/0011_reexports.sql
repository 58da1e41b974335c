CREATE TABLE reexport_transitions (
    from_status varchar NOT NULL,
    to_status varchar NOT NULL,
    PRIMARY KEY (from_status, to_status)
);
INSERT INTO reexport_transitions
SELECT at, unnest(ARRAY['failed', 'cancelling']) FROM unnest(ARRAY['pending', 'exporting', 'storing_result']) AS at
UNION ALL VALUES ('pending', 'exporting'), ('exporting', 'storing_result'), ('storing_result', 'notifying'),
                 ('notifying', 'completed'), ('cancelling', 'cancelled');

-- A wish to have a report again, and what became of it. They follow one another: one of a report's at a time.
CREATE TABLE report_reexports (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    report_id uuid NOT NULL,
    attempt integer NOT NULL CHECK (attempt >= 1),
    requested_by uuid NOT NULL REFERENCES users,
    request jsonb NOT NULL CHECK (jsonb_typeof(request) = 'object'),
    repeats uuid,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    status varchar NOT NULL CHECK (status IN (
        'pending', 'exporting', 'storing_result', 'notifying', 'completed', 'failed', 'cancelling', 'cancelled')),
    -- How often what is being done was begun without an answer.
    tries integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    run_id varchar,
    export_id uuid UNIQUE,
    file_version integer,
    file jsonb,
    result_export_id uuid,
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
    FOREIGN KEY (org_id, repeats) REFERENCES exports (org_id, id),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id),
    FOREIGN KEY (org_id, result_export_id) REFERENCES exports (org_id, id),
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK ((status IN ('completed', 'failed', 'cancelled')) = (completed_at IS NOT NULL)),
    CHECK (status NOT IN ('exporting', 'storing_result') OR export_id IS NOT NULL),
    CHECK ((status IN ('notifying', 'completed')) = (file IS NOT NULL)),
    CHECK ((file IS NULL) = (file_version IS NULL) AND (file IS NULL) = (result_export_id IS NULL))
);
CREATE UNIQUE INDEX report_reexports_of_org ON report_reexports (org_id, id);
CREATE UNIQUE INDEX report_reexports_in_turn ON report_reexports (report_id, attempt);
CREATE UNIQUE INDEX report_reexports_one_at_a_time ON report_reexports (report_id)
    WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX report_reexports_newest_of_all ON report_reexports (created_at DESC, id DESC);
CREATE INDEX report_reexports_newest_first ON report_reexports (org_id, created_at DESC, id DESC);
CREATE INDEX report_reexports_unfinished ON report_reexports (created_at, id)
    WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX report_reexports_by_result ON report_reexports (org_id, result_export_id);

CREATE FUNCTION guard_reexport_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'pending' THEN
        RAISE EXCEPTION 'a re-export begins pending' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER reexports_begin_at_the_beginning BEFORE INSERT ON report_reexports
    FOR EACH ROW EXECUTE FUNCTION guard_reexport_insert();

CREATE FUNCTION guard_reexport_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.status <> OLD.status AND NOT EXISTS (
        SELECT FROM reexport_transitions t WHERE t.from_status = OLD.status AND t.to_status = NEW.status) THEN
        RAISE EXCEPTION 'a re-export does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.id, NEW.org_id, NEW.report_id, NEW.attempt, NEW.requested_by, NEW.request, NEW.repeats, NEW.created_at)
        IS DISTINCT FROM
       (OLD.id, OLD.org_id, OLD.report_id, OLD.attempt, OLD.requested_by, OLD.request, OLD.repeats, OLD.created_at)
       OR NEW.export_id IS DISTINCT FROM coalesce(OLD.export_id, NEW.export_id)
       OR NEW.file_version IS DISTINCT FROM coalesce(OLD.file_version, NEW.file_version) THEN
        RAISE EXCEPTION 'what a re-export was asked for never changes' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status <> OLD.status THEN
        NEW.tries := 0;
    END IF;
    IF NEW.edits = OLD.edits THEN
        NEW.changes := OLD.changes + 1;
    END IF;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER reexports_are_guarded BEFORE UPDATE ON report_reexports
    FOR EACH ROW EXECUTE FUNCTION guard_reexport_update();
CREATE TRIGGER reexports_tell_of_change AFTER UPDATE ON report_reexports
    FOR EACH ROW EXECUTE FUNCTION tell_of_change();

ALTER TABLE report_reexports ENABLE ROW LEVEL SECURITY;
ALTER TABLE report_reexports FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organisation ON report_reexports USING (org_id = current_org()) WITH CHECK (org_id = current_org());
CREATE POLICY operators ON report_reexports FOR SELECT TO stafett_api USING (current_setting('app.operator', true) = 'on');
CREATE POLICY maintenance ON report_reexports FOR SELECT TO stafett_maintenance USING (true);

GRANT SELECT, INSERT, UPDATE (status, label, notified_at, file, result_export_id, edits) ON report_reexports TO stafett_api;
GRANT SELECT, UPDATE (status, tries, run_id, export_id, file_version, file, result_export_id, notified_at, error, completed_at)
    ON report_reexports TO stafett_worker;
GRANT SELECT, UPDATE (status, notified_at, error, completed_at) ON report_reexports TO stafett_maintenance;

-- An export that is made for a re-export: whose it is, and the export whose snapshot it takes over.
ALTER TABLE exports
    ADD COLUMN origin varchar NOT NULL DEFAULT 'report' CHECK (origin IN ('report', 'reexport')),
    ADD COLUMN reexport_id uuid,
    ADD COLUMN repeats uuid,
    ADD FOREIGN KEY (org_id, reexport_id) REFERENCES report_reexports (org_id, id),
    ADD FOREIGN KEY (org_id, repeats) REFERENCES exports (org_id, id),
    ADD CHECK ((origin = 'reexport') = (reexport_id IS NOT NULL)),
    ADD CHECK (repeats IS NULL OR origin = 'reexport');
CREATE UNIQUE INDEX exports_of_reexport ON exports (reexport_id);

CREATE OR REPLACE FUNCTION guard_export_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.status <> OLD.status AND NOT EXISTS (
        SELECT FROM export_transitions t WHERE t.from_status = OLD.status AND t.to_status = NEW.status) THEN
        RAISE EXCEPTION 'an export does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.id, NEW.org_id, NEW.requested_by, NEW.parameters, NEW.origin, NEW.reexport_id, NEW.repeats, NEW.created_at)
        IS DISTINCT FROM
       (OLD.id, OLD.org_id, OLD.requested_by, OLD.parameters, OLD.origin, OLD.reexport_id, OLD.repeats, OLD.created_at) THEN
        RAISE EXCEPTION 'what an export was asked for never changes' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.edits = OLD.edits THEN
        NEW.changes := OLD.changes + 1;
    END IF;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;

-- The gateway accepts exports that people ask for, a worker those of re-exports.
CREATE POLICY asked_for ON exports AS RESTRICTIVE FOR INSERT TO stafett_api WITH CHECK (origin = 'report');
CREATE POLICY of_reexports ON exports AS RESTRICTIVE FOR INSERT TO stafett_worker WITH CHECK (origin = 'reexport');
GRANT INSERT ON exports, export_attempts TO stafett_worker;

-- Which re-export a version came from, out of what and why, and how it differs from the version before.
ALTER TABLE report_files
    ADD COLUMN reexport_id uuid UNIQUE,
    ADD COLUMN source varchar CHECK (source IN ('current_data', 'same_snapshot')),
    ADD COLUMN reason varchar,
    ADD COLUMN change jsonb,
    ADD FOREIGN KEY (org_id, reexport_id) REFERENCES report_reexports (org_id, id),
    ADD CHECK ((kind = 'reexport') = (reexport_id IS NOT NULL)),
    ADD CHECK ((kind = 'reexport') = (source IS NOT NULL)),
    ADD CHECK ((kind = 'reexport') = (change IS NOT NULL)),
    ADD CHECK (reason IS NULL OR kind = 'reexport');
CREATE INDEX report_files_of_export ON report_files (org_id, export_id);
