-- What is done to all tasks that match a filter, slice by slice: a slice and the row number it reached are
-- one transaction.
CREATE TABLE bulk (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL CHECK (length(id) = 16),
    action TEXT NOT NULL CHECK (action IN ('cancel', 'retry', 'delete', 'move', 'reprioritize')),
    filter BLOB NOT NULL,
    queue TEXT,
    priority INTEGER CHECK (priority BETWEEN 0 AND 255),
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'cancelled')),
    -- The row numbers of the tasks it is about, and the last one that was looked at.
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    reached INTEGER NOT NULL,
    matched INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    -- Of those done, running tasks that were asked to stop.
    asked INTEGER NOT NULL DEFAULT 0,
    -- How many were left as they were, for each reason.
    skips BLOB NOT NULL DEFAULT x'7b7d',
    -- Those that run take turns: the lowest is next.
    turn INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER,
    -- The Idempotency-Key it was asked for with.
    key TEXT UNIQUE,
    digest BLOB,
    CHECK ((action = 'move') = (queue IS NOT NULL)),
    CHECK ((action = 'reprioritize') = (priority IS NOT NULL)),
    CHECK ((state = 'running') = (finished_at_ms IS NULL)),
    CHECK ((key IS NULL) = (digest IS NULL))
) STRICT;

CREATE INDEX bulk_turn ON bulk (turn) WHERE state = 'running';
