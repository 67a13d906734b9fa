-- What a task's claims are limited by; NULL for most, which stand in lines of their own.
ALTER TABLE task ADD COLUMN limit_key TEXT CHECK (limit_key <> '');
-- Empty if it was claimed under a limit on its queue's running tasks, NULL otherwise.
ALTER TABLE task ADD COLUMN slot TEXT CHECK (slot = '');

-- Whether claims have to look at keys (1) and at limits on the queue (2); none: 0.
ALTER TABLE queue ADD COLUMN lanes INTEGER NOT NULL DEFAULT 0 CHECK (lanes BETWEEN 0 AND 3);

-- Tasks with a key stay out of the lines of those without: no number of them stands before these.
DROP INDEX task_ready;
DROP INDEX task_ready_of_kind;
CREATE INDEX task_ready ON task (queue, priority DESC, run_at_ms) WHERE limit_key IS NULL AND state = 'ready';
CREATE INDEX task_ready_of_kind ON task (queue, kind, priority DESC, run_at_ms)
    WHERE limit_key IS NULL AND state = 'ready';

-- Of each kind: claims of any kind look at the kinds there are. Few indexes, as each costs every task a bit.
CREATE INDEX task_keyed ON task (queue, kind, priority DESC, run_at_ms)
    WHERE limit_key IS NOT NULL AND state = 'ready';
CREATE INDEX task_lane ON task (queue, kind, priority DESC, limit_key, run_at_ms)
    WHERE limit_key IS NOT NULL AND state = 'ready';
-- The slots that are taken, by key and by queue.
CREATE INDEX task_running_key ON task (limit_key, queue) WHERE limit_key IS NOT NULL AND state = 'running';
CREATE INDEX task_running_slot ON task (queue) WHERE slot IS NOT NULL AND state = 'running';

CREATE TABLE limit_rule (
    name TEXT PRIMARY KEY,
    -- Empty: of every queue.
    queue TEXT NOT NULL,
    -- A key, or the beginning of keys and *. Empty: the queue's tasks together, whatever their keys.
    key TEXT NOT NULL,
    running INTEGER CHECK (running >= 0),
    rate INTEGER CHECK (rate >= 1),
    per_ms INTEGER CHECK (per_ms >= 1),
    burst INTEGER CHECK (burst >= 1),
    fair INTEGER NOT NULL CHECK (fair IN (0, 1)),
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    CHECK (queue <> '' OR key <> ''),
    CHECK (key = '' OR fair = 0),
    CHECK ((rate IS NULL) = (per_ms IS NULL)),
    CHECK ((rate IS NULL) = (burst IS NULL)),
    CHECK (running IS NOT NULL OR rate IS NOT NULL OR fair = 1)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX limit_rule_target ON limit_rule (queue, key);

-- Tokens that are there at a moment, of what was spent from lately: a bucket without a row is full.
CREATE TABLE bucket (
    -- Both as the rule's queue and a task's key: empty for every queue, and for the queue as a whole.
    queue TEXT NOT NULL,
    key TEXT NOT NULL,
    level REAL NOT NULL CHECK (level >= 0),
    updated_ms INTEGER NOT NULL,
    -- When the next token comes, if none is there: then a claim that waits is woken.
    due_ms INTEGER,
    full_ms INTEGER NOT NULL,
    PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX bucket_due ON bucket (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX bucket_full ON bucket (full_ms);

-- Whose turn it was last in a fair queue, at each priority; empty: that of the tasks without a key.
CREATE TABLE turn (
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (queue, priority)
) STRICT, WITHOUT ROWID;
