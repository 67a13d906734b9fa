CREATE TABLE term (
    number INTEGER PRIMARY KEY CHECK (number > 0),
    started_at_ms INTEGER NOT NULL,
    node TEXT NOT NULL
) STRICT;
