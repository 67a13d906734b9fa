-- name: find_key_holder
SELECT seq, id, state, queue, needs, notify, run_at_ms, created_at_ms, unique_period_ms,
    unique_until_ms
FROM task
WHERE kind = :kind AND unique_key = :unique_key AND instr(unique_states, state) > 0

-- name: find_taken_keys
SELECT t.kind, t.unique_key
FROM json_each(:keys) k CROSS JOIN task t ON t.kind = k.value ->> 0 AND t.unique_key = k.value ->> 1
    AND t.unique_key IS NOT NULL AND instr(t.unique_states, t.state) > 0

-- name: find_key_rival
-- Whoever holds the key of a task that is about to hold it.
SELECT r.id, r.unique_until_ms, t.unique_until_ms, r.seq
FROM task t JOIN task r ON r.kind = t.kind AND r.unique_key = t.unique_key
    AND r.unique_key IS NOT NULL AND instr(r.unique_states, r.state) > 0
WHERE t.seq = :seq AND r.seq <> t.seq

-- name: hold_key_for
UPDATE task SET unique_period_ms = :period_ms, unique_until_ms = :until_ms WHERE seq = :seq

-- name: drop_key
UPDATE task SET unique_key = NULL, unique_states = NULL, unique_period_ms = NULL, unique_until_ms = NULL
WHERE seq = :seq

-- name: replace_task
UPDATE task SET queue = :queue, state = :state, priority = :priority, run_at_ms = :run_at_ms,
    max_attempts = :max_attempts, lease_ms = :lease_ms, timeout_ms = :timeout_ms, limit_key = :limit_key,
    expires_at_ms = :expires_at_ms, unique_states = :unique_states, needs = NULL, pending = 0, notify = NULL,
    unique_period_ms = :period_ms, unique_until_ms = :until_ms
WHERE seq = :seq
