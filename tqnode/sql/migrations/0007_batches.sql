-- The row number of the task's batch, which most tasks are without. It outlives the batch: no other ever has it.
ALTER TABLE task ADD COLUMN batch INTEGER;

CREATE INDEX task_batch ON task (batch) WHERE batch IS NOT NULL;

-- How many members stand where, kept in the transaction that moves them. Members are counted for good:
-- one that ended and was deleted since is still in its count.
CREATE TABLE batch (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL CHECK (length(id) = 16),
    name TEXT,
    -- Open: more tasks are to come, so it can't have finished.
    open INTEGER NOT NULL CHECK (open IN (0, 1)),
    total INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0 CHECK (pending >= 0),
    succeeded INTEGER NOT NULL DEFAULT 0 CHECK (succeeded >= 0),
    dead INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0),
    cancelled INTEGER NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
    created_at_ms INTEGER NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    -- When each came first; it is never taken back, so none comes twice.
    failed_at_ms INTEGER,
    finished_at_ms INTEGER,
    succeeded_at_ms INTEGER,
    cancelled_at_ms INTEGER,
    -- While it is being cancelled: the row number up to which its members have been.
    cancelled_through INTEGER,
    CHECK (total = pending + succeeded + dead + cancelled),
    CHECK (open = 0 OR (finished_at_ms IS NULL AND cancelled_at_ms IS NULL)),
    CHECK (succeeded_at_ms IS NULL OR finished_at_ms IS NOT NULL),
    CHECK (cancelled_through IS NULL OR cancelled_at_ms IS NOT NULL)
) STRICT;

CREATE INDEX batch_idle ON batch (changed_at_ms) WHERE pending = 0;
CREATE INDEX batch_cancelling ON batch (cancelled_through) WHERE cancelled_through IS NOT NULL;

-- The tasks to enqueue at an event; once that is done, the payload is empty and task says which it was.
CREATE TABLE batch_callback (
    batch INTEGER NOT NULL,
    event TEXT NOT NULL CHECK (event IN ('failure', 'finished', 'success')),
    spec BLOB NOT NULL,
    payload BLOB NOT NULL,
    task BLOB CHECK (length(task) = 16),
    PRIMARY KEY (batch, event)
) STRICT;

-- Events that have come, in the transaction that they came with, and were not acted upon yet.
CREATE TABLE batch_event (
    batch INTEGER NOT NULL,
    event TEXT NOT NULL CHECK (event IN ('failure', 'finished', 'success')),
    due_ms INTEGER NOT NULL,
    PRIMARY KEY (batch, event)
) STRICT, WITHOUT ROWID;

CREATE INDEX batch_event_due ON batch_event (due_ms);
