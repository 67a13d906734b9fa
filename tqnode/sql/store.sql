-- name: writer_pragmas
-- auto_vacuum must stand before the first table is made; it is without effect afterwards.
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA cache_size = -32768;
PRAGMA journal_size_limit = 67108864;
PRAGMA temp_store = MEMORY;

-- name: reader_pragmas
PRAGMA query_only = ON;
PRAGMA cache_size = -8192;
PRAGMA temp_store = MEMORY;

-- name: checkpointer_pragmas
PRAGMA synchronous = FULL

-- name: begin
BEGIN IMMEDIATE

-- name: commit
COMMIT

-- name: rollback
ROLLBACK

-- name: savepoint
SAVEPOINT operation

-- name: release
RELEASE operation

-- name: rollback_savepoint
ROLLBACK TO operation

-- name: savepoint_part
SAVEPOINT part

-- name: release_part
RELEASE part

-- name: rollback_part
ROLLBACK TO part

-- name: read_schema_version
PRAGMA user_version

-- name: read_last_task
-- What was deleted, or a batch, may have had the newest number and have left something behind: it must not come
-- to mean another.
SELECT t.seq, t.id, max(coalesce(t.seq, 0), (SELECT coalesce(max(parent), 0) FROM dependency),
    (SELECT coalesce(max(seq), 0) FROM batch), (SELECT coalesce(max(batch), 0) FROM task WHERE batch IS NOT NULL),
    (SELECT coalesce(max(seq), 0) FROM log_remains))
FROM (SELECT max(seq) AS last FROM task) LEFT JOIN task t ON t.seq = last

-- name: begin_read
BEGIN

-- name: change_tally
UPDATE tally SET tasks = tasks + :tasks WHERE queue = :queue AND state = :state

-- name: start_tally
INSERT INTO tally (queue, state, tasks) VALUES (:queue, :state, :tasks)

-- name: page_counts
SELECT page_count, page_size, freelist_count
FROM pragma_page_count(), pragma_page_size(), pragma_freelist_count()
