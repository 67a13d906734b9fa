-- name: find_holder
SELECT queue, kind, attempt FROM task
WHERE seq = :seq AND id = :id AND grants = :grants AND secret = :secret AND state = 'running'

-- name: read_last_line
SELECT number, grants, place FROM task_log WHERE seq = :seq ORDER BY number DESC LIMIT 1

-- name: insert_line
INSERT INTO task_log (seq, number, grants, place, attempt, at_ms, level, text)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: drop_lines
DELETE FROM task_log WHERE seq = :seq AND number <= :upto

-- name: read_lines
SELECT number, attempt, at_ms, level, text FROM task_log
WHERE seq = :seq AND number > :after ORDER BY number LIMIT :limit

-- name: read_state
SELECT state FROM task WHERE seq = :seq AND id = :id

-- name: find_extras
-- One look for many tasks, whose numbers lie close together: hardly any has lines or a time for its result.
SELECT EXISTS (SELECT 1 FROM task_log WHERE seq BETWEEN :low AND :high),
    EXISTS (SELECT 1 FROM result_time WHERE seq BETWEEN :low AND :high)

-- name: note_remains
INSERT INTO log_remains (seq)
SELECT value FROM json_each(:seqs) WHERE EXISTS (SELECT 1 FROM task_log WHERE seq = value)

-- name: next_remains
-- They are due at once.
SELECT 0 FROM log_remains LIMIT 1

-- name: delete_remains
DELETE FROM task_log WHERE (seq, number) IN (
    SELECT l.seq, l.number FROM log_remains r CROSS JOIN task_log l ON l.seq = r.seq
    ORDER BY r.seq LIMIT :limit)

-- name: forget_remains
-- Those without lines by now. No sequence number is as large as the last resort.
DELETE FROM log_remains WHERE seq < coalesce(
    (SELECT r.seq FROM log_remains r CROSS JOIN task_log l ON l.seq = r.seq ORDER BY r.seq LIMIT 1),
    9223372036854775807)
