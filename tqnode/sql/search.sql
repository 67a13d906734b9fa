-- part: matching
-- What only a filter asks for is read in it alone: a task's row is all that the others look at.
(:queues IS NULL OR t.queue IN (SELECT value FROM json_each(:queues)))
    AND (:states IS NULL OR t.state IN (SELECT value FROM json_each(:states)))
    AND (:kinds IS NULL OR t.kind IN (SELECT value FROM json_each(:kinds)))
    AND (:worker IS NULL OR t.worker = :worker)
    AND (:limit_key IS NULL OR t.limit_key = :limit_key)
    AND (:batch IS NULL OR t.batch = :batch)
    AND t.priority BETWEEN :min_priority AND :max_priority
    AND (:created_after_ms IS NULL OR t.created_at_ms >= :created_after_ms)
    AND (:created_before_ms IS NULL OR t.created_at_ms < :created_before_ms)
    AND (:finished_after_ms IS NULL OR t.finished_at_ms >= :finished_after_ms)
    AND (:finished_before_ms IS NULL OR t.finished_at_ms < :finished_before_ms)
    AND (:tag IS NULL OR EXISTS (SELECT 1 FROM task_tag g WHERE g.tag = :tag AND g.seq = t.seq))
    AND (:text IS NULL OR instr(lower(t.kind), lower(:text)) > 0 OR EXISTS (
        SELECT 1 FROM task_body y CROSS JOIN json_each(y.tags) g
        WHERE y.seq = t.seq AND y.tags IS NOT NULL AND instr(lower(g.value), lower(:text)) > 0))
    AND (:error_type IS NULL OR (SELECT json_extract(CAST(y.errors AS TEXT), '$[#-1].type')
        FROM task_note y WHERE y.seq = t.seq) = :error_type)
    -- The conditions are taken apart once: for each task that would be most of the work.
    AND (:payload IS NULL OR EXISTS (SELECT 1 FROM task_body y WHERE y.seq = t.seq AND NOT EXISTS (
        WITH c (path, type, value) AS MATERIALIZED (
            SELECT value ->> 'path', value ->> 'type', value ->> 'value' FROM json_each(:payload))
        SELECT 1 FROM c WHERE NOT coalesce(
            CASE json_type(CAST(y.payload AS TEXT), c.path)
                WHEN 'integer' THEN c.type = 'number' AND json_extract(CAST(y.payload AS TEXT), c.path) = c.value
                WHEN 'real' THEN c.type = 'number' AND json_extract(CAST(y.payload AS TEXT), c.path) = c.value
                WHEN 'text' THEN c.type = 'text' AND json_extract(CAST(y.payload AS TEXT), c.path) = c.value
                ELSE json_type(CAST(y.payload AS TEXT), c.path) = c.type
            END, 0))))
    AND (:meta IS NULL OR EXISTS (SELECT 1 FROM task_body y WHERE y.seq = t.seq AND NOT EXISTS (
        WITH c (path, type, value) AS MATERIALIZED (
            SELECT value ->> 'path', value ->> 'type', value ->> 'value' FROM json_each(:meta))
        SELECT 1 FROM c WHERE NOT coalesce(
            CASE json_type(CAST(y.meta AS TEXT), c.path)
                WHEN 'integer' THEN c.type = 'number' AND json_extract(CAST(y.meta AS TEXT), c.path) = c.value
                WHEN 'real' THEN c.type = 'number' AND json_extract(CAST(y.meta AS TEXT), c.path) = c.value
                WHEN 'text' THEN c.type = 'text' AND json_extract(CAST(y.meta AS TEXT), c.path) = c.value
                ELSE json_type(CAST(y.meta AS TEXT), c.path) = c.type
            END, 0))))

-- name: list_floor_of_bodies
-- How far down :scan rows and :bytes of what a filter reads go, one row at least; and whether that is all.
SELECT min(seq) FILTER (WHERE before < :bytes), count(*) = :scan OR sum(before >= :bytes) > 0
FROM (SELECT seq, sum(bytes) OVER (ORDER BY seq DESC) - bytes AS before
    FROM (SELECT y.seq, length(y.payload) + coalesce(length(y.meta), 0) + coalesce(length(n.errors), 0) AS bytes
        FROM task_body y LEFT JOIN task_note n USING (seq)
        WHERE y.seq < :before ORDER BY y.seq DESC LIMIT :scan))

-- name: search_reach
-- As list_floor and list_floor_of_bodies, upwards.
SELECT max(seq), count(*) FROM (
    SELECT seq FROM task WHERE seq > :after AND seq <= :last ORDER BY seq LIMIT :scan)

-- name: search_reach_of_bodies
SELECT max(seq) FILTER (WHERE before < :bytes), count(*) FILTER (WHERE before < :bytes)
FROM (SELECT seq, sum(bytes) OVER (ORDER BY seq) - bytes AS before
    FROM (SELECT y.seq, length(y.payload) + coalesce(length(y.meta), 0) + coalesce(length(n.errors), 0) AS bytes
        FROM task_body y LEFT JOIN task_note n USING (seq)
        WHERE y.seq > :after AND y.seq <= :last ORDER BY y.seq LIMIT :scan))

-- name: count_matching
SELECT t.state, count(*) FROM task t WHERE t.seq > :after AND t.seq <= :reach AND {matching} GROUP BY t.state

-- name: search_bounds
SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM task

-- name: tallied
SELECT state, sum(tasks) FROM tally
WHERE tasks > 0 AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
    AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
GROUP BY state
