-- name: find_levels
-- The first task of each priority that there is: two steps of the index for each, however many tasks it has.
WITH RECURSIVE level (priority) AS (
    SELECT * FROM (SELECT priority FROM task INDEXED BY task_ready
        WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND kind = :kind AND priority >= :low
        ORDER BY priority DESC LIMIT 1)
    UNION ALL
    SELECT (SELECT priority FROM task INDEXED BY task_ready
        WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND kind = :kind
            AND priority >= :low AND priority < level.priority
        ORDER BY priority DESC LIMIT 1)
    FROM level WHERE level.priority IS NOT NULL)
SELECT t.priority, t.run_at_ms, t.seq, t.limit_key
FROM level CROSS JOIN task t ON t.seq = (SELECT seq FROM task INDEXED BY task_ready
    WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND kind = :kind
        AND priority = level.priority AND (expires_at_ms IS NULL OR expires_at_ms > :now_ms)
    ORDER BY run_at_ms, seq LIMIT 1)
WHERE level.priority IS NOT NULL

-- name: find_keyed_levels
WITH RECURSIVE level (priority) AS (
    SELECT * FROM (SELECT priority FROM task INDEXED BY task_keyed
        WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = :kind
            AND priority >= :low
        ORDER BY priority DESC LIMIT 1)
    UNION ALL
    SELECT (SELECT priority FROM task INDEXED BY task_keyed
        WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = :kind
            AND priority >= :low AND priority < level.priority
        ORDER BY priority DESC LIMIT 1)
    FROM level WHERE level.priority IS NOT NULL)
SELECT t.priority, t.run_at_ms, t.seq, t.limit_key
FROM level CROSS JOIN task t ON t.seq = (SELECT seq FROM task INDEXED BY task_keyed
    WHERE limit_key IS NOT NULL AND state = 'ready' AND queue = :queue AND kind = :kind
        AND priority = level.priority AND (expires_at_ms IS NULL OR expires_at_ms > :now_ms)
    ORDER BY run_at_ms, seq LIMIT 1)
WHERE level.priority IS NOT NULL
