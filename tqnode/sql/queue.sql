-- name: find_queue
SELECT paused, lanes FROM queue WHERE name = :queue

-- name: find_queue_and_kinds
-- With the first and the last kind that has a ready task without a key: mostly they are one.
SELECT paused, lanes,
    (SELECT kind FROM task INDEXED BY task_ready
        WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue ORDER BY kind LIMIT 1),
    (SELECT kind FROM task INDEXED BY task_ready
        WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue ORDER BY kind DESC LIMIT 1)
FROM queue WHERE name = :queue

-- name: count_queues
SELECT count(*) FROM queue

-- name: add_queue
INSERT INTO queue (name, created_at_ms, lanes)
SELECT :queue, :now_ms, 2 * EXISTS (SELECT 1 FROM limit_rule WHERE queue = :queue AND key = '')

-- name: find_empty_queues
SELECT name FROM queue
WHERE NOT paused AND NOT draining AND settings IS NULL
    AND NOT EXISTS (SELECT 1 FROM tally WHERE queue = name AND tasks > 0)

-- name: drop_queue
DELETE FROM queue WHERE name = :queue

-- name: drop_tallies
DELETE FROM tally WHERE queue = :queue

-- name: read_depth
SELECT coalesce(sum(tasks), 0) FROM tally
WHERE queue = :queue AND state IN ('blocked', 'scheduled', 'ready')

-- name: read_queues
SELECT name, paused, paused_at_ms, created_at_ms, paused_until_ms, pause_reason, draining, settings FROM queue
WHERE :queue IS NULL OR name = :queue ORDER BY name

-- name: read_tallies
SELECT queue, state, tasks FROM tally WHERE tasks > 0 AND (:queue IS NULL OR queue = :queue)

-- name: read_oldest_ready
-- The indexes are in order of kind and priority first: one step for each priority of each kind.
WITH RECURSIVE {ready_kinds}, {keyed_kinds},
step (kind, priority, oldest_ms) AS (
    SELECT kind, 256, NULL FROM ready_kind WHERE kind IS NOT NULL
    UNION ALL
    SELECT step.kind,
        (SELECT priority FROM task INDEXED BY task_ready
            WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND kind = step.kind
                AND priority < step.priority ORDER BY priority DESC, run_at_ms LIMIT 1),
        (SELECT run_at_ms FROM task INDEXED BY task_ready
            WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND kind = step.kind
                AND priority < step.priority ORDER BY priority DESC, run_at_ms LIMIT 1)
    FROM step WHERE step.priority IS NOT NULL),
keyed (kind, priority, oldest_ms) AS (
    SELECT kind, 256, NULL FROM keyed_kind WHERE kind IS NOT NULL
    UNION ALL
    SELECT keyed.kind,
        (SELECT priority FROM task INDEXED BY task_keyed
            WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = keyed.kind
                AND priority < keyed.priority ORDER BY priority DESC, run_at_ms LIMIT 1),
        (SELECT run_at_ms FROM task INDEXED BY task_keyed
            WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = keyed.kind
                AND priority < keyed.priority ORDER BY priority DESC, run_at_ms LIMIT 1)
    FROM keyed WHERE keyed.priority IS NOT NULL)
SELECT min(oldest_ms) FROM (SELECT oldest_ms FROM step UNION ALL SELECT oldest_ms FROM keyed)

-- name: purge_reach
SELECT max(seq) FROM (SELECT seq FROM task WHERE seq > :after AND seq <= :last ORDER BY seq LIMIT :scan)

-- name: purge_slice
-- The + keeps the planner at the row numbers, which bound what is looked at.
SELECT seq, id, queue, kind, state, attempt FROM task
WHERE seq > :after AND seq <= :reach AND +queue = :queue AND +state IN (SELECT value FROM json_each(:states))
ORDER BY seq LIMIT :max

-- name: find_idempotency
SELECT digest, answer FROM idempotency WHERE key = :key

-- name: add_idempotency
INSERT INTO idempotency (key, digest, answer, created_at_ms) VALUES (:key, :digest, :answer, :now_ms)
ON CONFLICT (key) DO UPDATE SET answer = excluded.answer
