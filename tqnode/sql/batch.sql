-- name: insert_batch
INSERT INTO batch (seq, id, name, open, created_at_ms, changed_at_ms, webhook)
VALUES (:seq, :id, :name, 1, :now_ms, :now_ms, :webhook)

-- name: insert_batch_callback
INSERT INTO batch_callback (batch, event, spec, payload) VALUES (?, ?, ?, ?)

-- name: count_members
UPDATE batch SET total = total + :total, pending = pending + :pending, succeeded = succeeded + :succeeded,
    dead = dead + :dead, cancelled = cancelled + :cancelled, changed_at_ms = :now_ms
WHERE seq = :batch
RETURNING open, total, pending, succeeded, dead, failed_at_ms, finished_at_ms, succeeded_at_ms, cancelled_at_ms

-- name: close_batch
UPDATE batch SET open = 0, changed_at_ms = :now_ms
WHERE seq = :batch
RETURNING open, total, pending, succeeded, dead, failed_at_ms, finished_at_ms, succeeded_at_ms, cancelled_at_ms

-- name: mark_batch
UPDATE batch SET failed_at_ms = CASE WHEN :failure THEN :now_ms ELSE failed_at_ms END,
    finished_at_ms = CASE WHEN :finished THEN :now_ms ELSE finished_at_ms END,
    succeeded_at_ms = CASE WHEN :success THEN :now_ms ELSE succeeded_at_ms END
WHERE seq = :batch

-- name: add_batch_event
INSERT INTO batch_event (batch, event, due_ms) VALUES (?, ?, ?)

-- name: read_batch
SELECT seq, id, name, open, total, pending, succeeded, dead, cancelled, created_at_ms, changed_at_ms,
    failed_at_ms, finished_at_ms, succeeded_at_ms, cancelled_at_ms, cancelled_through, webhook
FROM batch WHERE seq = :seq AND id = :id

-- name: list_batches
SELECT seq, id, name, open, total, pending, succeeded, dead, cancelled, created_at_ms, changed_at_ms,
    failed_at_ms, finished_at_ms, succeeded_at_ms, cancelled_at_ms, cancelled_through, webhook
FROM batch WHERE seq < :before ORDER BY seq DESC LIMIT :limit

-- name: read_batch_callbacks
-- In the order of the events' names.
SELECT c.batch, c.event, c.spec, c.task FROM json_each(:seqs) b CROSS JOIN batch_callback c ON c.batch = b.value
ORDER BY c.batch, c.event

-- name: read_batch_ids
SELECT seq, id FROM batch WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: begin_batch_cancel
UPDATE batch SET open = 0, cancelled_at_ms = :now_ms, cancelled_through = seq, changed_at_ms = :now_ms
WHERE seq = :batch

-- name: advance_batch_cancel
UPDATE batch SET cancelled_through = :through WHERE seq = :batch

-- name: find_batch_to_cancel
SELECT seq, cancelled_through FROM batch WHERE cancelled_through IS NOT NULL LIMIT 1

-- name: find_members
SELECT seq, id, queue, kind, state, priority, run_at_ms, attempt, receipt, cancel_requested_at_ms FROM task
WHERE batch = :batch AND seq > :after ORDER BY seq LIMIT :limit

-- name: next_batch_cancel
-- What is left to cancel is due at once.
SELECT 0 FROM batch WHERE cancelled_through IS NOT NULL LIMIT 1

-- name: find_due_batch_events
SELECT e.batch, e.event, b.id FROM batch_event e JOIN batch b ON b.seq = e.batch
WHERE e.due_ms <= :now_ms OR e.due_ms > :never_ms ORDER BY e.due_ms LIMIT :limit

-- name: next_batch_event
SELECT min(due_ms) FROM batch_event

-- name: find_batch_callback
SELECT spec, payload FROM batch_callback WHERE batch = :batch AND event = :event

-- name: note_batch_callback
UPDATE batch_callback SET task = :task, payload = x'' WHERE batch = :batch AND event = :event

-- name: put_batch_event_off
UPDATE batch_event SET due_ms = :due_ms WHERE batch = :batch AND event = :event

-- name: delete_batch_event
DELETE FROM batch_event WHERE batch = :batch AND event = :event

-- name: find_idle_batches
SELECT seq FROM batch b WHERE pending = 0 AND changed_at_ms < :before_ms
    AND NOT EXISTS (SELECT 1 FROM batch_event e WHERE e.batch = b.seq)
ORDER BY changed_at_ms LIMIT :limit

-- name: delete_batches
DELETE FROM batch WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: delete_batch_callbacks
DELETE FROM batch_callback WHERE batch IN (SELECT value FROM json_each(:seqs))
