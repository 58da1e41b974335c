-- What an organisation's reports are made by: a version is added, and never changed again.
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

CREATE FUNCTION refuse_change_of_mapping() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a version of a column mapping never changes' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER column_mappings_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON column_mappings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_mapping();
ALTER TABLE column_mappings ENABLE ALWAYS TRIGGER column_mappings_never_change;

-- A preview on its way from the worker to whoever waits for it, and gone with its first reading: rows of people that
-- no log and no history of the engine's is to keep, nor a backup (pg_dump --no-unlogged-table-data).
CREATE UNLOGGED TABLE preview_results (
    id uuid PRIMARY KEY,
    org_id varchar NOT NULL REFERENCES organisations,
    result json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['column_mappings', 'preview_results'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY own_organisation ON %I USING (org_id = current_org()) WITH CHECK (org_id = current_org())',
                       tenant_table);
    END LOOP;
END $$;

ALTER TABLE exports ADD COLUMN not_countable jsonb;

GRANT SELECT, INSERT ON column_mappings TO stafett_api;
GRANT SELECT ON column_mappings TO stafett_worker;
GRANT SELECT, DELETE ON preview_results TO stafett_api;
GRANT INSERT, SELECT (id, org_id) ON preview_results TO stafett_worker;
GRANT SELECT, DELETE ON preview_results TO stafett_maintenance;
CREATE POLICY maintenance ON preview_results TO stafett_maintenance USING (true);
