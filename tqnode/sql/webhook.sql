-- name: insert_webhook
INSERT INTO webhook (seq, hook) VALUES (?, ?)

-- name: mark_notified
UPDATE task SET notify = ? WHERE seq = ?

-- name: delete_webhooks
DELETE FROM webhook WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: read_ended
-- A length is read without the result.
SELECT t.seq, t.id, t.queue, t.kind, t.state, t.reason, t.priority, t.created_at_ms, t.started_at_ms,
    t.finished_at_ms, t.attempt, t.max_attempts, t.worker, t.unique_key, b.meta, b.tags,
    length(n.result), CASE WHEN length(n.result) <= :result_max THEN n.result END, n.errors, w.hook, t.notify
FROM json_each(:seqs) s CROSS JOIN task t ON t.seq = s.value JOIN task_body b USING (seq)
    JOIN webhook w USING (seq) LEFT JOIN task_note n USING (seq)

-- name: find_running_of
SELECT seq, id, queue, kind, priority, run_at_ms, attempt, worker FROM task
WHERE state = 'running' AND queue = :queue ORDER BY seq
