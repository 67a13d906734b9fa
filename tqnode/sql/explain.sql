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
-- In the lines of all kinds, with and without limit keys.
WITH RECURSIVE {ready_kinds}, {keyed_kinds},
unkeyed_line AS MATERIALIZED (SELECT kind FROM ready_kind WHERE kind IS NOT NULL),
keyed_line AS MATERIALIZED (SELECT kind FROM keyed_kind WHERE kind IS NOT NULL)
SELECT count(*) FROM (SELECT 1 FROM ({ahead}) LIMIT :limit)

-- name: count_ahead_of_kind
WITH unkeyed_line (kind) AS (SELECT :kind), keyed_line (kind) AS (SELECT :kind)
SELECT count(*) FROM (SELECT 1 FROM ({ahead}) LIMIT :limit)

-- part: ahead
-- Three ranges of each index, each cut off: one condition for all of them would go through whole lines.
SELECT 1 FROM (SELECT 1 FROM unkeyed_line CROSS JOIN task INDEXED BY task_ready
    WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND task.kind = unkeyed_line.kind
        AND priority > :priority LIMIT :limit)
UNION ALL
SELECT 1 FROM (SELECT 1 FROM unkeyed_line CROSS JOIN task INDEXED BY task_ready
    WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND task.kind = unkeyed_line.kind
        AND priority = :priority AND run_at_ms < :run_at_ms LIMIT :limit)
UNION ALL
SELECT 1 FROM (SELECT 1 FROM unkeyed_line CROSS JOIN task INDEXED BY task_ready
    WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND task.kind = unkeyed_line.kind
        AND priority = :priority AND run_at_ms = :run_at_ms AND seq < :seq LIMIT :limit)
UNION ALL
SELECT 1 FROM (SELECT 1 FROM keyed_line CROSS JOIN task INDEXED BY task_keyed
    WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND task.kind = keyed_line.kind
        AND priority > :priority LIMIT :limit)
UNION ALL
SELECT 1 FROM (SELECT 1 FROM keyed_line CROSS JOIN task INDEXED BY task_keyed
    WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND task.kind = keyed_line.kind
        AND priority = :priority AND run_at_ms < :run_at_ms LIMIT :limit)
UNION ALL
SELECT 1 FROM (SELECT 1 FROM keyed_line CROSS JOIN task INDEXED BY task_keyed
    WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND task.kind = keyed_line.kind
        AND priority = :priority AND run_at_ms = :run_at_ms AND seq < :seq LIMIT :limit)

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
