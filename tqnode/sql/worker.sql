-- name: add_worker
INSERT INTO worker (id, name, state, started_at_ms, heartbeat_at_ms, concurrency, host, pid, queues, kinds,
    version)
VALUES (:id, :name, 'run', :now_ms, :now_ms, :concurrency, :host, :pid, :queues, :kinds, :version)

-- name: read_workers
SELECT w.id, w.name, w.state, w.started_at_ms, w.heartbeat_at_ms, w.concurrency, w.host, w.pid, w.queues,
    w.kinds, w.version, coalesce(r.tasks, 0)
FROM worker w LEFT JOIN (
    SELECT worker, count(*) AS tasks FROM task WHERE state = 'running' GROUP BY worker) r ON r.worker = w.id
WHERE :id IS NULL OR w.id = :id
ORDER BY w.started_at_ms, w.id

-- name: find_worker_state
SELECT state FROM worker WHERE id = :id

-- name: touch_worker
UPDATE worker SET heartbeat_at_ms = :now_ms WHERE id = :id RETURNING state

-- name: steer_worker
UPDATE worker SET state = :state WHERE id = :id

-- name: delete_worker
DELETE FROM worker WHERE id = :id

-- name: delete_silent_workers
DELETE FROM worker WHERE id IN (SELECT id FROM worker WHERE heartbeat_at_ms < :before_ms LIMIT :limit)

-- name: shift_heartbeats
UPDATE worker SET heartbeat_at_ms = heartbeat_at_ms + :by_ms

-- name: age_heartbeats
UPDATE worker SET heartbeat_at_ms = :now_ms WHERE heartbeat_at_ms > :now_ms

-- name: count_workers
SELECT state, count(*) FROM worker GROUP BY state
