-- What a tick changes is in schedule, small; the task it makes, which may be large, stands apart from it.
CREATE TABLE schedule (
    name TEXT PRIMARY KEY,
    cron TEXT,
    time_zone TEXT,
    dst_gap TEXT CHECK (dst_gap IN ('run', 'skip')),
    dst_overlap TEXT CHECK (dst_overlap IN ('once', 'twice')),
    every_ms INTEGER CHECK (every_ms > 0),
    anchor_ms INTEGER NOT NULL,
    missed TEXT NOT NULL CHECK (missed IN ('skip', 'one', 'all')),
    overlap TEXT NOT NULL CHECK (overlap IN ('allow', 'skip', 'replace')),
    paused INTEGER NOT NULL CHECK (paused IN (0, 1)),
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    -- The first tick that was not dealt with yet; NULL when none will come.
    next_ms INTEGER,
    -- When it is looked at: at that tick, or later if its task could not be enqueued then.
    due_ms INTEGER,
    -- The last tick that was dealt with, by a task or by leaving it out: no earlier one ever comes again.
    done_ms INTEGER,
    fired_ms INTEGER,
    last_task BLOB CHECK (length(last_task) = 16),
    fires INTEGER NOT NULL DEFAULT 0,
    skips INTEGER NOT NULL DEFAULT 0,
    CHECK ((cron IS NULL) <> (every_ms IS NULL)),
    CHECK ((cron IS NULL) = (time_zone IS NULL)),
    CHECK ((cron IS NULL) = (dst_gap IS NULL)),
    CHECK ((cron IS NULL) = (dst_overlap IS NULL)),
    CHECK ((next_ms IS NULL) = (due_ms IS NULL)),
    CHECK (next_ms > done_ms),
    CHECK ((fired_ms IS NULL) = (last_task IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX schedule_due ON schedule (due_ms) WHERE paused = 0 AND due_ms IS NOT NULL;

CREATE TABLE schedule_task (
    name TEXT PRIMARY KEY,
    spec BLOB NOT NULL,
    payload BLOB NOT NULL
) STRICT;
