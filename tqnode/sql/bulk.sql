-- name: read_bulk
SELECT seq, id, action, filter, queue, priority, state, first, last, reached, matched, done, asked, skips,
    created_at_ms, finished_at_ms
FROM bulk WHERE seq = :seq AND id = :id

-- name: list_bulks
SELECT seq, id, action, filter, queue, priority, state, first, last, reached, matched, done, asked, skips,
    created_at_ms, finished_at_ms
FROM bulk WHERE seq < :before ORDER BY seq DESC LIMIT :limit

-- name: next_turn
SELECT seq, id, action, filter, queue, priority, state, first, last, reached, matched, done, asked, skips,
    created_at_ms, finished_at_ms
FROM bulk WHERE state = 'running' ORDER BY turn LIMIT 1

-- name: find_bulk_of_key
SELECT id, digest FROM bulk WHERE key = :key

-- name: count_running_bulks
SELECT count(*) FROM bulk WHERE state = 'running'

-- name: next_bulk_seq
SELECT coalesce(max(seq), 0) + 1 FROM bulk

-- name: last_turn
SELECT coalesce(max(turn), 0) FROM bulk WHERE state = 'running'

-- name: add_bulk
INSERT INTO bulk (seq, id, action, filter, queue, priority, state, first, last, reached, turn, created_at_ms,
    key, digest)
VALUES (:seq, :id, :action, :filter, :queue, :priority, 'running', :first, :last, :first - 1, :turn, :now_ms,
    :key, :digest)

-- name: advance_bulk
UPDATE bulk SET reached = :reached, matched = :matched, done = :done, asked = :asked, skips = :skips,
    turn = :turn, state = :state, finished_at_ms = :finished_at_ms
WHERE seq = :seq

-- name: stop_bulk
UPDATE bulk SET state = 'cancelled', finished_at_ms = :now_ms WHERE seq = :seq AND state = 'running'

-- name: forget_bulks
DELETE FROM bulk WHERE seq IN (
    SELECT seq FROM bulk WHERE state <> 'running' ORDER BY seq DESC LIMIT -1 OFFSET :kept)

-- name: next_bulk
-- What is under way is due at once.
SELECT 0 FROM bulk WHERE state = 'running' LIMIT 1

-- name: first_task
SELECT coalesce(min(seq), 1) FROM task

-- name: bulk_slice
SELECT t.seq, t.id, t.queue, t.kind, t.state, t.attempt, t.priority,
    t.awaited OR t.needs IS NOT NULL OR t.notify IS NOT NULL OR t.batch IS NOT NULL
FROM task t WHERE t.seq > :after AND t.seq <= :reach AND {matching}
ORDER BY t.seq LIMIT :limit

-- name: cancel_waiting
UPDATE task SET state = 'cancelled', reason = 'requested', finished_at_ms = :now_ms, crashes = 0
WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: request_cancels
UPDATE task SET cancel_requested_at_ms = :now_ms
WHERE seq IN (SELECT value FROM json_each(:seqs)) AND cancel_requested_at_ms IS NULL

-- name: move_tasks
UPDATE task SET queue = :queue WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: reprioritize_tasks
UPDATE task SET priority = :priority WHERE seq IN (SELECT value FROM json_each(:seqs))
