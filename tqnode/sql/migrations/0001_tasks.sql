-- What changes often is in task, small; what is written once or seldom stands apart from it.
CREATE TABLE task (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL CHECK (length(id) = 16),
    queue TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('blocked', 'scheduled', 'ready', 'running', 'succeeded', 'dead', 'cancelled')),
    priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 255),
    run_at_ms INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL CHECK (max_attempts >= 1),
    lease_ms INTEGER NOT NULL CHECK (lease_ms > 0),
    attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    -- Claims ever made: the token's first part, so that grants of one task strictly increase.
    grants INTEGER NOT NULL DEFAULT 0,
    -- The token's second part. Kept after the finish, so that a repeated finish is recognised.
    secret INTEGER,
    -- Leases in a row that ran out.
    crashes INTEGER NOT NULL DEFAULT 0,
    timeout_ms INTEGER,
    expires_at_ms INTEGER,
    worker TEXT,
    started_at_ms INTEGER,
    lease_expires_at_ms INTEGER,
    cancel_requested_at_ms INTEGER,
    finished_at_ms INTEGER,
    reason TEXT,
    -- The answer to the last finish of the current token; NULL after a plain completion.
    receipt BLOB,
    unique_key TEXT,
    unique_states TEXT,
    CHECK ((state = 'running') = (lease_expires_at_ms IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'dead', 'cancelled')) = (finished_at_ms IS NOT NULL)),
    CHECK ((state IN ('dead', 'cancelled')) = (reason IS NOT NULL)),
    CHECK (state <> 'running' OR (secret IS NOT NULL AND worker IS NOT NULL)),
    CHECK ((unique_key IS NULL) = (unique_states IS NULL))
) STRICT;

-- The order of claims. The row number comes last in every index, so FIFO needs no column.
CREATE INDEX task_ready ON task (queue, priority DESC, run_at_ms) WHERE state = 'ready';
CREATE INDEX task_ready_of_kind ON task (queue, kind, priority DESC, run_at_ms) WHERE state = 'ready';
CREATE INDEX task_due ON task (run_at_ms) WHERE state = 'scheduled';
CREATE INDEX task_lease ON task (lease_expires_at_ms) WHERE state = 'running';
CREATE INDEX task_expiry ON task (expires_at_ms)
    WHERE expires_at_ms IS NOT NULL AND state IN ('blocked', 'scheduled', 'ready');
CREATE INDEX task_finished ON task (state, finished_at_ms) WHERE finished_at_ms IS NOT NULL;
-- No state's name is part of another's, so instr() is membership.
CREATE UNIQUE INDEX task_unique ON task (kind, unique_key)
    WHERE unique_key IS NOT NULL AND instr(unique_states, state) > 0;

CREATE TABLE task_body (
    seq INTEGER PRIMARY KEY,
    payload BLOB NOT NULL,
    meta BLOB,
    tags TEXT,
    retry BLOB
) STRICT;

CREATE TABLE task_note (
    seq INTEGER PRIMARY KEY,
    result BLOB,
    progress BLOB,
    errors BLOB,
    attempted_by BLOB
) STRICT;

CREATE TABLE task_tag (
    tag TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (tag, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE queue (
    name TEXT PRIMARY KEY,
    created_at_ms INTEGER NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1))
) STRICT, WITHOUT ROWID;

-- How many tasks stand in each state; kept in the transaction that moves them.
CREATE TABLE tally (
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    tasks INTEGER NOT NULL CHECK (tasks >= 0),
    PRIMARY KEY (queue, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('run', 'quiet', 'terminate')),
    started_at_ms INTEGER NOT NULL,
    heartbeat_at_ms INTEGER NOT NULL,
    concurrency INTEGER NOT NULL,
    host TEXT,
    pid INTEGER,
    queues TEXT NOT NULL,
    kinds TEXT NOT NULL,
    version TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    answer BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_age ON idempotency (created_at_ms);
