-- What the attempts of tasks told while they ran. The number counts a task's lines from 1; where it leaps, lines
-- were lost before they came here. The place counts the lines of one claim from 0, by the worker's own count.
CREATE TABLE task_log (
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    grants INTEGER NOT NULL,
    place INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error')),
    text TEXT NOT NULL,
    PRIMARY KEY (seq, number)
) STRICT, WITHOUT ROWID;

-- Tasks that were deleted and whose lines are still to be: a log may be long.
CREATE TABLE log_remains (
    seq INTEGER PRIMARY KEY
) STRICT;

-- Tasks whose result goes before they do. Looked at next: no later than the result's time is over; NULL when
-- that was done.
CREATE TABLE result_time (
    seq INTEGER PRIMARY KEY,
    ttl_ms INTEGER NOT NULL CHECK (ttl_ms > 0),
    look_ms INTEGER,
    expired INTEGER NOT NULL DEFAULT 0 CHECK (expired IN (0, 1))
) STRICT;

CREATE INDEX result_look ON result_time (look_ms) WHERE look_ms IS NOT NULL;
