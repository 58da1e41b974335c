-- Every third row is of the organisation, every thousandth of those of the user. The organisation's oldest ten rows
-- differ from the others, so that a list that is filtered by them finds them last.
CREATE TEMPORARY TABLE source ON COMMIT DROP AS
SELECT n, n > 29970 AS is_old, now() - make_interval(mins => n) AS at,
    CASE WHEN n % 3 = 0 THEN 'large' ELSE 'other-' || n % 20 END AS org_id,
    CASE WHEN n % 3000 = 0 THEN '00000000-0000-0000-0000-000000000001' ELSE md5('users' || n) END::uuid AS user_id
FROM generate_series(1, 30000) AS n;

INSERT INTO users (id, email, display_name)
SELECT DISTINCT ON (user_id) user_id, n || '@large.example', 'x' FROM source;

INSERT INTO memberships (user_id, org_id, role)
SELECT DISTINCT ON (user_id) user_id, org_id, 'auditor' FROM source;

INSERT INTO api_keys (id, org_id, user_id, name, role, secret_sha256, expires_at)
SELECT md5('api_keys' || n)::uuid, org_id, user_id, 'x', 'auditor', repeat(md5(n::text), 2), now() + interval '1 day'
FROM source;

INSERT INTO user_sessions (
    id, token_sha256, user_id, provider, id_token, browser, created_at, idle_expires_at, expires_at)
SELECT md5('user_sessions' || n)::uuid, encode(sha256(n::text::bytea), 'hex'), user_id, 'x', 'x', 'x', at,
    now() + interval '1 day', now() + interval '1 day'
FROM source;

INSERT INTO peer_mentors (id, org_id, display_name, active)
SELECT md5('peer_mentors' || n)::uuid, org_id, 'Likeperson ' || md5(n::text), NOT is_old FROM source;

INSERT INTO activities (id, org_id, mentor_id, activity_type, starts_at, ends_at, participants, new_participants, place,
    in_person, in_norway, registered_by, batch_id)
SELECT md5('activities' || n)::uuid, org_id, md5('peer_mentors' || n)::uuid, 'besok', at, at + interval '1 minute', 1, 0,
    'Bodø', true, true, user_id, CASE WHEN is_old THEN md5('bulk_registrations' || 30000)::uuid END
FROM source;

INSERT INTO attachments (id, org_id, activity_id, file_name, mime_type, size_bytes, sha256, object_key)
SELECT md5('attachments' || n)::uuid, org_id, md5('activities' || n)::uuid, 'x', 'x', 1, repeat(md5(n::text), 2), n::text
FROM source;

INSERT INTO exports (id, org_id, requested_by, parameters, period_start, period_end, status, attempt, file, error,
    audit_id, created_at, completed_at, staging_cleared_at)
SELECT md5('exports' || n)::uuid, org_id, user_id, '{}', at, at, CASE WHEN is_old THEN 'failed' ELSE 'completed' END, 1,
    '{}', CASE WHEN is_old THEN '{}'::jsonb END, md5('audit' || n)::uuid, at, at, at
FROM source;

INSERT INTO bulk_registrations (id, org_id, requested_by, activity, status, attempt, total, registered, failed,
    created_at, completed_at)
SELECT md5('bulk_registrations' || n)::uuid, org_id, user_id, '{}',
    CASE WHEN is_old THEN 'failed' ELSE 'completed' END, 1, 1, (NOT is_old)::int, is_old::int, at, at
FROM source;

-- Three batches of ten thousand items each.
INSERT INTO bulk_items (batch_id, position, org_id, chunk, client_ref, mentor_ref, overrides, activity_id, status,
    error_code)
SELECT md5('bulk_registrations' || 30000 - n % 3)::uuid, n / 3, org_id, n / 1500, n::text, 'x', '{}',
    md5('activities' || n)::uuid, CASE WHEN is_old THEN 'failed' ELSE 'registered' END,
    CASE WHEN is_old THEN 'mentor_not_found' END
FROM source;

INSERT INTO reports (id, org_id, export_id, period_start, period_end, parameters, created_at)
SELECT md5('reports' || n)::uuid, org_id, md5('exports' || n)::uuid, at, at, '{}', at FROM source;

INSERT INTO report_files (report_id, version, org_id, export_id, kind, file, mapping, created_by)
SELECT md5('reports' || n)::uuid, 1, org_id, md5('exports' || n)::uuid, 'original', '{}', '{}', user_id FROM source;

INSERT INTO report_reexports (id, org_id, report_id, attempt, requested_by, request, period_start, period_end, status,
    export_id, error, file, file_version, result_export_id, audit_id, created_at, completed_at)
SELECT md5('report_reexports' || n)::uuid, org_id, md5('reports' || n)::uuid, 1, user_id, '{}', at, at,
    CASE WHEN is_old THEN 'failed' ELSE 'completed' END, md5('exports' || n)::uuid,
    CASE WHEN is_old THEN '{}'::jsonb END, CASE WHEN NOT is_old THEN '{}'::jsonb END, CASE WHEN NOT is_old THEN 1 END,
    CASE WHEN NOT is_old THEN md5('exports' || n)::uuid END, md5('audit' || n)::uuid, at, at
FROM source;

INSERT INTO notifications (id, org_id, user_id, kind, subject_kind, subject_id, attempt, status, created_at)
SELECT md5('notifications' || n)::uuid, org_id, user_id, 'export_ended', 'export', md5('exports' || n)::uuid, 1,
    CASE WHEN is_old THEN 'failed' ELSE 'completed' END, at
FROM source;

INSERT INTO deliveries (id, org_id, notification_id, webhook_id, channel, state, created_at, settled_at)
SELECT md5('deliveries' || n)::uuid, org_id, md5('notifications' || n)::uuid, md5('webhooks' || n)::uuid, 'webhook',
    CASE WHEN is_old THEN 'failed' ELSE 'delivered' END, at, CASE WHEN NOT is_old THEN now() END
FROM source;

INSERT INTO audit_events (org_id, seq, id, at, actor, event, subject_kind, subject_id, detail, hash, previous_hash)
SELECT org_id, 30001 - n, md5('audit_events' || n)::uuid, at, CASE WHEN is_old THEN 'user:rare' ELSE 'user:x' END,
    CASE WHEN is_old THEN 'rare' ELSE 'stage_started' END, 'export', md5('exports' || n)::uuid, '{}', repeat('0', 64),
    repeat('0', 64)
FROM source;
