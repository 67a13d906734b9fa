-- What each task pays, whatever it uses.

-- SQLite makes a table, anew for every row that is written, of each list after IN that has more than two
-- entries: that was a sixth of a plain task's cost. The same said with OR costs next to nothing. What is stored
-- stays as it is, so the text of the tables is all that changes.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
    'CHECK (state IN (''blocked'', ''scheduled'', ''ready'', ''running'', ''succeeded'', ''dead'', ''cancelled''))',
    'CHECK (state = ''ready'' OR state = ''running'' OR state = ''succeeded'' OR state = ''scheduled''
            OR state = ''blocked'' OR state = ''cancelled'' OR state = ''dead'')'),
    '(state IN (''succeeded'', ''dead'', ''cancelled''))',
    '(state = ''succeeded'' OR state = ''dead'' OR state = ''cancelled'')')
WHERE type = 'table' AND name = 'task';
UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (level IN (''debug'', ''info'', ''warning'', ''error''))',
    'CHECK (level = ''info'' OR level = ''debug'' OR level = ''warning'' OR level = ''error'')')
WHERE type = 'table' AND name = 'task_log';
UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (state IN (''run'', ''quiet'', ''terminate''))',
    'CHECK (state = ''run'' OR state = ''quiet'' OR state = ''terminate'')')
WHERE type = 'table' AND name = 'worker';
PRAGMA writable_schema = RESET;

DROP INDEX task_expiry;
CREATE INDEX task_expiry ON task (expires_at_ms)
    WHERE expires_at_ms IS NOT NULL AND (state = 'ready' OR state = 'scheduled' OR state = 'blocked');

-- One line for each kind: a claim of any kind looks at the first task of each. A second index, of all kinds
-- together, had every task pay for what few claims ask.
DROP INDEX task_ready;
DROP INDEX task_ready_of_kind;
CREATE INDEX task_ready ON task (queue, kind, priority DESC, run_at_ms)
    WHERE limit_key IS NULL AND state = 'ready';
