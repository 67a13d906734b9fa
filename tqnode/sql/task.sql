-- name: read_task
SELECT t.id, t.queue, t.kind, t.state, t.reason, t.priority, t.created_at_ms, t.run_at_ms, t.started_at_ms,
    t.finished_at_ms, t.expires_at_ms, t.lease_expires_at_ms, t.cancel_requested_at_ms, t.attempt,
    t.max_attempts, t.crashes, t.lease_ms, t.timeout_ms, t.worker, t.unique_key, t.seq,
    b.payload, b.meta, b.tags, b.retry, n.result, n.progress, n.errors, n.attempted_by, t.needs, t.pending,
    CASE WHEN t.needs IS NOT NULL THEN (SELECT json_group_array(hex(p.id))
        FROM (SELECT parent FROM dependency WHERE child = t.seq ORDER BY parent) d
            JOIN task p ON p.seq = d.parent) END,
    CASE WHEN t.notify IS NOT NULL THEN (SELECT hook FROM webhook w WHERE w.seq = t.seq) END,
    t.limit_key,
    CASE WHEN t.batch IS NOT NULL THEN (SELECT id FROM batch WHERE seq = t.batch) END, x.ttl_ms, x.expired
FROM task t JOIN task_body b USING (seq) LEFT JOIN task_note n USING (seq) LEFT JOIN result_time x USING (seq)
WHERE seq = :seq AND id = :id

-- name: list_tasks
-- At most :scan rows below the cursor are looked at, so that no filter makes a page slow.
SELECT t.id, t.queue, t.kind, t.state, t.reason, t.priority, t.created_at_ms, t.run_at_ms, t.started_at_ms,
    t.finished_at_ms, t.expires_at_ms, t.lease_expires_at_ms, t.cancel_requested_at_ms, t.attempt,
    t.max_attempts, t.crashes, t.lease_ms, t.timeout_ms, t.worker, t.unique_key, t.seq,
    CASE WHEN :bodies THEN b.payload ELSE x'' END, b.meta, b.tags, b.retry,
    CASE WHEN :bodies THEN n.result END, n.progress, n.errors, n.attempted_by, t.needs, t.pending, NULL,
    CASE WHEN t.notify IS NOT NULL THEN (SELECT hook FROM webhook w WHERE w.seq = t.seq) END,
    t.limit_key,
    CASE WHEN t.batch IS NOT NULL THEN (SELECT id FROM batch WHERE seq = t.batch) END,
    x.ttl_ms, x.expired
FROM task t JOIN task_body b USING (seq) LEFT JOIN task_note n USING (seq) LEFT JOIN result_time x USING (seq)
WHERE seq < :before AND seq >= :floor AND {matching}
ORDER BY seq DESC
LIMIT :limit

-- name: list_floor
SELECT min(seq), count(*) FROM (SELECT seq FROM task WHERE seq < :before ORDER BY seq DESC LIMIT :scan)

-- name: insert_task
INSERT INTO task (seq, id, queue, kind, state, priority, run_at_ms, created_at_ms, max_attempts, lease_ms,
    timeout_ms, expires_at_ms, unique_key, unique_states)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_tied_task
INSERT INTO task (seq, id, queue, kind, state, priority, run_at_ms, created_at_ms, max_attempts, lease_ms,
    timeout_ms, expires_at_ms, unique_key, unique_states, needs, pending, limit_key, batch)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_body
INSERT INTO task_body (seq, payload, meta, tags, retry) VALUES (?, ?, ?, ?, ?)

-- name: insert_tag
INSERT INTO task_tag (tag, seq) VALUES (?, ?)

-- name: replace_body
UPDATE task_body SET payload = :payload, meta = :meta, tags = :tags, retry = :retry WHERE seq = :seq

-- name: read_tags
SELECT tags FROM task_body WHERE seq = :seq

-- name: delete_tag
DELETE FROM task_tag WHERE tag = ? AND seq = ?

-- name: delete_tags
DELETE FROM task_tag WHERE (tag, seq) IN (
    SELECT g.value, b.seq FROM json_each(:seqs) s
    CROSS JOIN task_body b ON b.seq = s.value CROSS JOIN json_each(b.tags) g WHERE b.tags IS NOT NULL)

-- name: find_tied
SELECT seq, state, awaited, notify, batch FROM task
WHERE seq IN (SELECT value FROM json_each(:seqs)) 
    AND (awaited OR needs IS NOT NULL OR notify IS NOT NULL OR batch IS NOT NULL)

-- name: delete_tasks
DELETE FROM task WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: delete_bodies
DELETE FROM task_body WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: delete_notes
DELETE FROM task_note WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: find_claimable
SELECT t.seq, t.id, t.kind, t.priority, t.run_at_ms, t.grants, t.attempt, t.max_attempts, t.crashes,
    t.lease_ms, t.timeout_ms, t.created_at_ms, b.payload, b.meta, b.tags, t.needs, t.batch
FROM task t JOIN task_body b USING (seq)
WHERE t.limit_key IS NULL AND t.state = 'ready' AND t.queue = :queue AND t.kind = :kind
    AND t.priority >= :min_priority AND (t.expires_at_ms IS NULL OR t.expires_at_ms > :now_ms)
ORDER BY t.priority DESC, t.run_at_ms, t.seq LIMIT :max

-- name: find_heads_of_kinds
-- The first task of each of these kinds.
SELECT t.priority, t.run_at_ms, t.seq, t.kind
FROM json_each(:kinds) k CROSS JOIN task t ON t.seq = (SELECT seq FROM task INDEXED BY task_ready
    WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND kind = k.value
        AND priority BETWEEN :low AND :high AND (expires_at_ms IS NULL OR expires_at_ms > :now_ms)
    ORDER BY priority DESC, run_at_ms, seq LIMIT 1)

-- name: find_ready_kinds
WITH RECURSIVE {ready_kinds}
SELECT kind FROM ready_kind WHERE kind IS NOT NULL

-- part: ready_kinds
-- One step of the index for each kind, however many tasks it has.
ready_kind (kind) AS (
    SELECT * FROM (SELECT kind FROM task INDEXED BY task_ready
        WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue ORDER BY kind LIMIT 1)
    UNION ALL
    SELECT (SELECT kind FROM task INDEXED BY task_ready
        WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND kind > ready_kind.kind
        ORDER BY kind LIMIT 1)
    FROM ready_kind WHERE ready_kind.kind IS NOT NULL)

-- name: claim_task
UPDATE task SET state = 'running', attempt = attempt + 1, grants = grants + 1, secret = :secret,
    worker = :worker, receipt = NULL, started_at_ms = :now_ms, lease_ms = coalesce(:lease_ms, lease_ms),
    lease_expires_at_ms = :now_ms + coalesce(:lease_ms, lease_ms)
WHERE seq = :seq

-- name: claim_tasks
UPDATE task SET state = 'running', attempt = attempt + 1, grants = grants + 1, secret = :secret,
    worker = :worker, receipt = NULL, started_at_ms = :now_ms, lease_ms = coalesce(:lease_ms, lease_ms),
    lease_expires_at_ms = :now_ms + coalesce(:lease_ms, lease_ms)
WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: complete_task
UPDATE task SET state = 'succeeded', finished_at_ms = :now_ms, lease_expires_at_ms = NULL, crashes = 0,
    receipt = :receipt
WHERE seq = :seq AND id = :id AND grants = :grants AND secret = :secret AND state = 'running'
RETURNING queue, kind, attempt, awaited, notify, coalesce(limit_key, slot), batch

-- name: read_running
SELECT seq, id, grants, secret, queue, kind, attempt, awaited, notify, coalesce(limit_key, slot), batch
FROM task
WHERE seq IN (SELECT value FROM json_each(:seqs)) AND state = 'running'

-- name: complete_tasks
UPDATE task SET state = 'succeeded', finished_at_ms = :now_ms, lease_expires_at_ms = NULL, crashes = 0,
    receipt = NULL
WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: read_held
SELECT t.queue, t.kind, t.state, t.priority, t.run_at_ms, t.attempt, t.max_attempts, t.crashes, t.worker,
    t.cancel_requested_at_ms, t.grants, t.secret, t.receipt, b.retry,
    coalesce(t.limit_key, t.slot)
FROM task t JOIN task_body b USING (seq)
WHERE seq = :seq AND id = :id

-- name: put_back_task
UPDATE task SET state = :state, run_at_ms = :run_at_ms, attempt = :attempt, crashes = :crashes,
    worker = NULL, lease_expires_at_ms = NULL, receipt = :receipt
WHERE seq = :seq

-- name: put_back_crashed
UPDATE task SET state = 'ready', run_at_ms = min(run_at_ms, :now_ms), crashes = crashes + 1,
    worker = NULL, lease_expires_at_ms = NULL, receipt = NULL
WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: end_task
UPDATE task SET state = :state, reason = :reason, finished_at_ms = :now_ms, crashes = :crashes,
    lease_expires_at_ms = NULL, receipt = :receipt
WHERE seq = :seq
RETURNING awaited, notify, batch

-- name: write_receipt
UPDATE task SET receipt = :receipt WHERE seq = :seq

-- name: write_result
INSERT INTO task_note (seq, result) VALUES (?, ?)
ON CONFLICT (seq) DO UPDATE SET result = excluded.result

-- name: write_progress
INSERT INTO task_note (seq, progress) VALUES (:seq, :progress)
ON CONFLICT (seq) DO UPDATE SET progress = excluded.progress

-- name: read_history
SELECT errors, attempted_by FROM task_note WHERE seq = :seq

-- name: find_histories
SELECT seq FROM task_note WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: insert_history
INSERT INTO task_note (seq, errors, attempted_by) VALUES (?, ?, ?)

-- name: write_history
INSERT INTO task_note (seq, errors, attempted_by) VALUES (:seq, :errors, :attempted_by)
ON CONFLICT (seq) DO UPDATE SET errors = excluded.errors, attempted_by = excluded.attempted_by

-- name: extend_lease
UPDATE task SET lease_expires_at_ms = :now_ms + coalesce(:lease_ms, lease_ms),
    lease_ms = coalesce(:lease_ms, lease_ms)
WHERE seq = :seq AND id = :id AND grants = :grants AND secret = :secret AND state = 'running'
RETURNING lease_expires_at_ms, cancel_requested_at_ms, queue, kind, attempt

-- name: find_managed
SELECT queue, kind, state, priority, run_at_ms, attempt, max_attempts, cancel_requested_at_ms, receipt,
    worker, awaited, batch
FROM task WHERE seq = :seq AND id = :id

-- name: request_cancel
UPDATE task SET cancel_requested_at_ms = :now_ms WHERE seq = :seq

-- name: retry_task
UPDATE task SET state = 'ready', reason = NULL, run_at_ms = :run_at_ms, max_attempts = :max_attempts,
    crashes = 0, finished_at_ms = NULL, cancel_requested_at_ms = NULL, worker = NULL, receipt = :receipt,
    expires_at_ms = CASE WHEN expires_at_ms > :now_ms THEN expires_at_ms END
WHERE seq = :seq

-- name: find_expired_leases
SELECT seq, id, queue, kind, priority, run_at_ms, attempt, max_attempts, crashes, worker,
    cancel_requested_at_ms, coalesce(limit_key, slot)
FROM task
WHERE state = 'running' AND lease_expires_at_ms <= :now_ms AND lease_ms <= :reachable_ms
ORDER BY lease_expires_at_ms LIMIT :limit

-- name: shift_leases
UPDATE task SET lease_expires_at_ms = lease_expires_at_ms + :by_ms WHERE state = 'running'

-- name: shorten_leases
UPDATE task SET lease_expires_at_ms = :now_ms + lease_ms
WHERE state = 'running' AND lease_expires_at_ms > :now_ms + lease_ms

-- name: find_due
SELECT seq, id, queue, kind, priority, attempt FROM task
WHERE state = 'scheduled' AND run_at_ms <= :now_ms ORDER BY run_at_ms LIMIT :limit

-- name: make_ready
UPDATE task SET state = 'ready' WHERE seq = :seq

-- name: find_outdated
SELECT seq, id, queue, kind, state, priority, run_at_ms, attempt, receipt FROM task
WHERE expires_at_ms IS NOT NULL AND (state = 'ready' OR state = 'scheduled' OR state = 'blocked')
    AND expires_at_ms <= :now_ms
ORDER BY expires_at_ms LIMIT :limit

-- name: find_kept_too_long
SELECT seq, id, queue, kind, state, attempt FROM task
WHERE state = :state AND finished_at_ms IS NOT NULL AND finished_at_ms < :before_ms
ORDER BY finished_at_ms LIMIT :limit

-- name: next_due
SELECT min(run_at_ms) FROM task WHERE state = 'scheduled'

-- name: next_lease_end
SELECT min(lease_expires_at_ms) FROM task WHERE state = 'running' AND lease_expires_at_ms > :began_ms

-- name: next_expiry
SELECT min(expires_at_ms) FROM task
WHERE expires_at_ms IS NOT NULL AND (state = 'ready' OR state = 'scheduled' OR state = 'blocked')

-- name: delete_old_idempotency
DELETE FROM idempotency WHERE key IN (
    SELECT key FROM idempotency WHERE created_at_ms < :before_ms ORDER BY created_at_ms LIMIT :limit)
