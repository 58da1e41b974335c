-- What is mapped of an export whose mapping is not finished: where each part lies, and what it adds to the outcome.
CREATE TABLE export_mapped_parts (
    export_id uuid NOT NULL,
    number integer NOT NULL CHECK (number >= 0),
    org_id varchar NOT NULL REFERENCES organisations,
    made_from varchar NOT NULL CHECK (made_from ~ '^[0-9a-f]{64}$'),
    objects jsonb NOT NULL CHECK (jsonb_typeof(objects) = 'object'),
    outcome jsonb NOT NULL CHECK (jsonb_typeof(outcome) = 'object'),
    kept_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (export_id, number),
    FOREIGN KEY (org_id, export_id) REFERENCES exports (org_id, id)
);

ALTER TABLE export_mapped_parts ENABLE ROW LEVEL SECURITY;
ALTER TABLE export_mapped_parts FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organisation ON export_mapped_parts
    USING (org_id = current_org()) WITH CHECK (org_id = current_org());

GRANT SELECT, INSERT, DELETE ON export_mapped_parts TO stafett_worker;
-- Whoever removes an export's files forgets them; whoever tidies keeps their objects. What was in them neither reads.
GRANT SELECT (export_id, org_id), DELETE ON export_mapped_parts TO stafett_api;
GRANT SELECT (export_id, org_id, objects), DELETE ON export_mapped_parts TO stafett_maintenance;
GRANT SELECT (export_id, org_id), DELETE ON export_mapped_parts TO stafett_erasure;
