-- Whoever polls is given the same link all day: that it was issued is said once.
CREATE UNIQUE INDEX audit_events_one_link_a_day
    ON audit_events (org_id, subject_id, actor, (detail ->> 'day'), (detail ->> 'sha256')) WHERE event = 'link_issued';

-- Checkpoints are of every organisation, those without an event included.
CREATE POLICY maintenance ON audit_events FOR SELECT TO stafett_maintenance USING (true);
CREATE POLICY maintenance ON organisations FOR SELECT TO stafett_maintenance USING (true);
GRANT SELECT (id) ON organisations TO stafett_maintenance;
