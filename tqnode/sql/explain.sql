-- name: explain_task
-- What read_task does not tell.
SELECT seq, receipt, unique_states, unique_until_ms FROM task WHERE seq = :seq AND id = :id

-- name: explain_parents
-- The index gives the parents of a task in their order; open says that its end is not counted yet.
SELECT p.id, p.kind, p.state, p.reason, d.open
FROM dependency d CROSS JOIN task p ON p.seq = d.parent
WHERE d.child = :seq AND (NOT :open OR d.open = 1) AND p.state IN (SELECT value FROM json_each(:states))
LIMIT :limit

-- name: count_ahead
-- In the line of each kind, with and without limit keys.
WITH RECURSIVE {ready_kinds}, {keyed_kinds}
SELECT coalesce((SELECT sum({unkeyed_ahead}) FROM ready_kind line WHERE line.kind IS NOT NULL), 0)
    + coalesce((SELECT sum({keyed_ahead}) FROM keyed_kind line WHERE line.kind IS NOT NULL), 0)

-- name: count_ahead_of_kind
SELECT {unkeyed_ahead} + {keyed_ahead} FROM (SELECT :kind AS kind) line

-- part: unkeyed_ahead
-- Three ranges of the index, each cut off: one condition for all of them would go through the whole line.
(SELECT count(*) FROM (
    SELECT 1 FROM (SELECT 1 FROM task INDEXED BY task_ready
        WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND kind = line.kind
            AND priority > :priority LIMIT :limit)
    UNION ALL
    SELECT 1 FROM (SELECT 1 FROM task INDEXED BY task_ready
        WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND kind = line.kind
            AND priority = :priority AND run_at_ms < :run_at_ms LIMIT :limit)
    UNION ALL
    SELECT 1 FROM (SELECT 1 FROM task INDEXED BY task_ready
        WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND kind = line.kind
            AND priority = :priority AND run_at_ms = :run_at_ms AND seq < :seq LIMIT :limit)
    LIMIT :limit))

-- part: keyed_ahead
(SELECT count(*) FROM (
    SELECT 1 FROM (SELECT 1 FROM task INDEXED BY task_keyed
        WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = line.kind
            AND priority > :priority LIMIT :limit)
    UNION ALL
    SELECT 1 FROM (SELECT 1 FROM task INDEXED BY task_keyed
        WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = line.kind
            AND priority = :priority AND run_at_ms < :run_at_ms LIMIT :limit)
    UNION ALL
    SELECT 1 FROM (SELECT 1 FROM task INDEXED BY task_keyed
        WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = line.kind
            AND priority = :priority AND run_at_ms = :run_at_ms AND seq < :seq LIMIT :limit)
    LIMIT :limit))

-- name: explain_workers
-- An empty list means any.
SELECT w.id, w.name, w.state, w.heartbeat_at_ms, w.concurrency
FROM worker w
WHERE (w.queues = '[]' OR EXISTS (SELECT 1 FROM json_each(w.queues) q WHERE q.value = :queue))
    AND (w.kinds = '[]' OR EXISTS (SELECT 1 FROM json_each(w.kinds) k WHERE k.value = :kind))
LIMIT :limit

-- name: count_held
SELECT worker, count(*) FROM (SELECT worker FROM task WHERE state = 'running' LIMIT :limit) GROUP BY worker

-- name: explain_worker
SELECT name, state, heartbeat_at_ms, host FROM worker WHERE id = :id
