-- name: read_limit
SELECT name, queue, key, running, rate, per_ms, burst, fair, created_at_ms, updated_at_ms FROM limit_rule
WHERE name = :name

-- name: read_limits
SELECT name, queue, key, running, rate, per_ms, burst, fair, created_at_ms, updated_at_ms FROM limit_rule
ORDER BY name

-- name: list_limits
SELECT name, queue, key, running, rate, per_ms, burst, fair, created_at_ms, updated_at_ms FROM limit_rule
WHERE name > :after ORDER BY name LIMIT :limit

-- name: count_limits
SELECT count(*) FROM limit_rule

-- name: find_limit_on
SELECT name FROM limit_rule WHERE queue = :queue AND key = :key

-- name: put_limit
INSERT INTO limit_rule (name, queue, key, running, rate, per_ms, burst, fair, created_at_ms, updated_at_ms)
VALUES (:name, :queue, :key, :running, :rate, :per_ms, :burst, :fair, :now_ms, :now_ms)
ON CONFLICT (name) DO UPDATE SET queue = excluded.queue, key = excluded.key, running = excluded.running,
    rate = excluded.rate, per_ms = excluded.per_ms, burst = excluded.burst, fair = excluded.fair,
    updated_at_ms = excluded.updated_at_ms

-- name: delete_limit
DELETE FROM limit_rule WHERE name = :name

-- name: mark_keyed
UPDATE queue SET lanes = lanes | 1 WHERE name = :queue AND lanes & 1 = 0

-- name: mark_keyed_by
UPDATE queue SET lanes = lanes | 1
WHERE name = :queue AND lanes & 1 = 0
    AND EXISTS (SELECT 1 FROM task WHERE seq IN (SELECT value FROM json_each(:seqs)) AND limit_key IS NOT NULL)

-- name: mark_limited
UPDATE queue SET lanes = (lanes & 1) | (2 * EXISTS (SELECT 1 FROM limit_rule r WHERE r.queue = queue.name AND r.key = ''))
WHERE name = :queue

-- name: find_keyed_queues
SELECT name FROM queue WHERE lanes & 1

-- name: mark_slots
UPDATE task SET slot = '' WHERE state = 'running' AND queue = :queue AND slot IS NULL

-- name: drop_turns
DELETE FROM turn WHERE queue = :queue

-- name: count_slots_of_key
SELECT count(*) FROM (SELECT 1 FROM task INDEXED BY task_running_key
    WHERE limit_key IS NOT NULL AND state = 'running' AND limit_key = :key LIMIT :max)

-- name: count_slots_of_key_in_queue
SELECT count(*) FROM (SELECT 1 FROM task INDEXED BY task_running_key
    WHERE limit_key IS NOT NULL AND state = 'running' AND limit_key = :key AND queue = :queue LIMIT :max)

-- name: count_slots_of_queue
SELECT count(*) FROM (SELECT 1 FROM task INDEXED BY task_running_slot
    WHERE slot IS NOT NULL AND state = 'running' AND queue = :queue LIMIT :max)

-- name: find_slots_of_key
SELECT id FROM task INDEXED BY task_running_key
WHERE limit_key IS NOT NULL AND state = 'running' AND limit_key = :key AND (:queue = '' OR queue = :queue)
LIMIT :max

-- name: find_slots_of_queue
SELECT id FROM task INDEXED BY task_running_slot
WHERE slot IS NOT NULL AND state = 'running' AND queue = :queue LIMIT :max

-- name: find_unkeyed
SELECT priority, run_at_ms, seq, limit_key FROM task INDEXED BY task_ready
WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND kind = :kind
    AND priority BETWEEN :low AND :high AND (expires_at_ms IS NULL OR expires_at_ms > :now_ms)
ORDER BY priority DESC, run_at_ms, seq LIMIT :max

-- name: find_keyed_kinds
WITH RECURSIVE {keyed_kinds}
SELECT kind FROM keyed_kind WHERE kind IS NOT NULL

-- part: keyed_kinds
-- As ready_kinds, of tasks with a key.
keyed_kind (kind) AS (
    SELECT * FROM (SELECT kind FROM task INDEXED BY task_keyed
        WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue ORDER BY kind LIMIT 1)
    UNION ALL
    SELECT (SELECT kind FROM task INDEXED BY task_keyed
        WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind > keyed_kind.kind
        ORDER BY kind LIMIT 1)
    FROM keyed_kind WHERE keyed_kind.kind IS NOT NULL)

-- name: find_keyed
SELECT priority, run_at_ms, seq, limit_key FROM task INDEXED BY task_keyed
WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = :kind
    AND priority BETWEEN :low AND :high AND (expires_at_ms IS NULL OR expires_at_ms > :now_ms)
ORDER BY priority DESC, run_at_ms, seq LIMIT :max

-- name: find_lanes
-- One step of the index for each key, however many tasks it has.
WITH RECURSIVE lane (key) AS (
    SELECT * FROM (SELECT limit_key FROM task INDEXED BY task_lane
        WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = :kind
            AND priority = :priority AND limit_key > :after
        ORDER BY limit_key LIMIT 1)
    UNION ALL
    SELECT (SELECT limit_key FROM task INDEXED BY task_lane
        WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = :kind
            AND priority = :priority AND limit_key > lane.key
        ORDER BY limit_key LIMIT 1)
    FROM lane WHERE lane.key IS NOT NULL
    LIMIT :max)
SELECT lane.key,
    CASE WHEN :everywhere THEN (SELECT count(*) FROM (SELECT 1 FROM task INDEXED BY task_running_key
        WHERE limit_key IS NOT NULL AND state = 'running' AND limit_key = lane.key LIMIT :slots)) END,
    CASE WHEN :here THEN (SELECT count(*) FROM (SELECT 1 FROM task INDEXED BY task_running_key
        WHERE limit_key IS NOT NULL AND state = 'running' AND limit_key = lane.key AND queue = :queue
        LIMIT :slots)) END,
    a.level, a.updated_ms, h.level, h.updated_ms
FROM lane LEFT JOIN bucket a ON :everywhere AND a.queue = '' AND a.key = lane.key
    LEFT JOIN bucket h ON :here AND h.queue = :queue AND h.key = lane.key
WHERE lane.key IS NOT NULL

-- name: find_heads
-- The first task of each of these keys.
SELECT :priority, t.run_at_ms, t.seq, t.limit_key
FROM json_each(:keys) k CROSS JOIN task t ON t.seq = (SELECT seq FROM task INDEXED BY task_lane
    WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = :kind
        AND priority = :priority AND limit_key = k.value
        AND (expires_at_ms IS NULL OR expires_at_ms > :now_ms)
    ORDER BY run_at_ms, seq LIMIT 1)

-- name: find_of_key
SELECT priority, run_at_ms, seq, limit_key FROM task INDEXED BY task_lane
WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = :kind AND priority = :priority
    AND limit_key = :key AND (expires_at_ms IS NULL OR expires_at_ms > :now_ms)
ORDER BY run_at_ms, seq LIMIT :max

-- name: read_claimable
SELECT t.seq, t.id, t.kind, t.priority, t.run_at_ms, t.grants, t.attempt, t.max_attempts, t.crashes,
    t.lease_ms, t.timeout_ms, t.created_at_ms, b.payload, b.meta, b.tags, t.needs, t.batch,
    t.limit_key
FROM json_each(:seqs) s CROSS JOIN task t ON t.seq = s.value CROSS JOIN task_body b ON b.seq = t.seq

-- name: claim_limited
UPDATE task SET state = 'running', attempt = attempt + 1, grants = grants + 1, secret = :secret,
    worker = :worker, receipt = NULL, started_at_ms = :now_ms, lease_ms = coalesce(:lease_ms, lease_ms),
    lease_expires_at_ms = :now_ms + coalesce(:lease_ms, lease_ms), slot = :slot
WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: read_turn
SELECT key FROM turn WHERE queue = :queue AND priority = :priority

-- name: write_turn
INSERT INTO turn (queue, priority, key) VALUES (:queue, :priority, :key)
ON CONFLICT (queue, priority) DO UPDATE SET key = excluded.key

-- name: read_bucket
SELECT level, updated_ms FROM bucket WHERE queue = :queue AND key = :key

-- name: write_bucket
INSERT INTO bucket (queue, key, level, updated_ms, due_ms, full_ms)
VALUES (:queue, :key, :level, :updated_ms, :due_ms, :full_ms)
ON CONFLICT (queue, key) DO UPDATE SET level = excluded.level, updated_ms = excluded.updated_ms,
    due_ms = excluded.due_ms, full_ms = excluded.full_ms

-- name: drop_bucket
DELETE FROM bucket WHERE queue = :queue AND key = :key

-- name: find_due_buckets
SELECT queue, key, level, updated_ms FROM bucket WHERE due_ms IS NOT NULL AND due_ms <= :now_ms
ORDER BY due_ms LIMIT :limit

-- name: find_full_buckets
SELECT queue, key, level, updated_ms, due_ms FROM bucket WHERE full_ms <= :now_ms
ORDER BY full_ms LIMIT :limit

-- name: look_at_buckets
UPDATE bucket SET due_ms = :now_ms, full_ms = min(full_ms, :now_ms) WHERE due_ms IS NOT NULL

-- name: shift_buckets
UPDATE bucket SET updated_ms = updated_ms + :by_ms, due_ms = due_ms + :by_ms, full_ms = full_ms + :by_ms

-- name: age_buckets
UPDATE bucket SET updated_ms = :now_ms, due_ms = :now_ms, full_ms = :now_ms WHERE updated_ms > :now_ms

-- name: next_token
SELECT min(due_ms) FROM bucket WHERE due_ms IS NOT NULL
