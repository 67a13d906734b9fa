-- Most queues were never told anything: of these all this is empty.
ALTER TABLE queue ADD COLUMN paused_at_ms INTEGER;
ALTER TABLE queue ADD COLUMN paused_until_ms INTEGER CHECK (paused_until_ms IS NULL OR paused = 1);
ALTER TABLE queue ADD COLUMN pause_reason TEXT;
ALTER TABLE queue ADD COLUMN draining INTEGER NOT NULL DEFAULT 0 CHECK (draining IN (0, 1));
ALTER TABLE queue ADD COLUMN settings BLOB;

CREATE INDEX queue_pause_end ON queue (paused_until_ms) WHERE paused_until_ms IS NOT NULL;

-- A row while the whole node is paused.
CREATE TABLE node_pause (
    lone INTEGER PRIMARY KEY CHECK (lone = 1),
    since_ms INTEGER NOT NULL,
    until_ms INTEGER,
    reason TEXT
) STRICT;

-- Bytes of payload and meta in waiting and running tasks, of the queues for which they are limited; the
-- empty name is the node. Triggers that are there only as long as there is a row keep it.
CREATE TABLE byte_tally (
    queue TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT, WITHOUT ROWID;
