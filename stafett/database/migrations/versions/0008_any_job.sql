-- People are told of the end of any kind of job.
ALTER TABLE notifications
    DROP CONSTRAINT notifications_kind_check,
    DROP CONSTRAINT notifications_subject_kind_check,
    DROP CONSTRAINT notifications_status_check,
    ADD CHECK (subject_kind IN ('export', 'reexport', 'bulk_registration')),
    ADD CHECK (kind = subject_kind || '_ended'),
    ADD CHECK (status IN ('completed', 'completed_empty', 'completed_with_failures', 'failed', 'cancelled'));

-- Whoever watches a job hears of every change by its id alone, once the change is committed.
CREATE FUNCTION tell_of_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('job_changed', NEW.id::text);
    RETURN NULL;
END $$;
CREATE TRIGGER exports_tell_of_change AFTER UPDATE ON exports FOR EACH ROW EXECUTE FUNCTION tell_of_change();

-- An operator looks after every organisation, and finds them by their names.
CREATE POLICY operators ON organisations FOR SELECT TO stafett_api USING (current_setting('app.operator', true) = 'on');
