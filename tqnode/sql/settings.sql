-- name: read_controls
SELECT name, paused, paused_at_ms, created_at_ms, paused_until_ms, pause_reason, draining, settings FROM queue
WHERE paused OR draining OR settings IS NOT NULL

-- name: read_counted
SELECT queue FROM byte_tally

-- name: read_node_pause
SELECT since_ms, until_ms, reason FROM node_pause

-- name: pause_queue
UPDATE queue SET paused = 1, paused_until_ms = :until_ms, pause_reason = :reason,
    paused_at_ms = CASE WHEN paused AND NOT (paused_until_ms IS NOT NULL AND paused_until_ms <= :now_ms)
        THEN coalesce(paused_at_ms, :now_ms) ELSE :now_ms END
WHERE name = :queue

-- name: resume_queue
UPDATE queue SET paused = 0, paused_at_ms = NULL, paused_until_ms = NULL, pause_reason = NULL, draining = 0
WHERE name = :queue

-- name: drain_queue
UPDATE queue SET draining = 1 WHERE name = :queue

-- name: pause_node
INSERT INTO node_pause (lone, since_ms, until_ms, reason) VALUES (1, :now_ms, :until_ms, :reason)
ON CONFLICT (lone) DO UPDATE SET until_ms = excluded.until_ms, reason = excluded.reason,
    since_ms = CASE WHEN node_pause.until_ms <= :now_ms THEN :now_ms ELSE node_pause.since_ms END

-- name: resume_node
DELETE FROM node_pause

-- name: find_ended_pauses
SELECT name FROM queue WHERE paused_until_ms IS NOT NULL AND paused_until_ms <= :now_ms LIMIT :limit

-- name: end_queue_pause
UPDATE queue SET paused = 0, paused_at_ms = NULL, paused_until_ms = NULL, pause_reason = NULL
WHERE name = :queue

-- name: end_node_pause
DELETE FROM node_pause WHERE until_ms <= :now_ms

-- name: next_pause_end
SELECT min(at_ms) FROM (SELECT min(paused_until_ms) AS at_ms FROM queue WHERE paused_until_ms IS NOT NULL
    UNION ALL SELECT min(until_ms) FROM node_pause)

-- name: read_settings
SELECT settings FROM queue WHERE name = :queue

-- name: write_settings
UPDATE queue SET settings = :settings WHERE name = :queue

-- name: start_byte_tally
INSERT INTO byte_tally (queue, bytes)
SELECT :queue, coalesce(sum(length(b.payload) + coalesce(length(b.meta), 0)), 0)
FROM task t JOIN task_body b USING (seq)
WHERE t.state IN ('blocked', 'scheduled', 'ready', 'running') AND (:queue = '' OR t.queue = :queue)

-- name: end_byte_tally
DELETE FROM byte_tally WHERE queue = :queue

-- name: read_byte_tally
SELECT bytes FROM byte_tally WHERE queue = :queue

-- name: read_byte_tallies
SELECT queue, bytes FROM byte_tally

-- name: read_node_depth
SELECT coalesce(sum(tasks), 0) FROM tally WHERE state IN ('blocked', 'scheduled', 'ready')

-- name: look_at_finished
SELECT seq, id, queue, kind, state, attempt, finished_at_ms FROM task
WHERE state = :state AND finished_at_ms IS NOT NULL AND finished_at_ms < :before_ms
    AND finished_at_ms >= :from_ms AND (finished_at_ms, seq) > (:from_ms, :from_seq)
ORDER BY finished_at_ms, seq LIMIT :limit
