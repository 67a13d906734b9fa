-- Which ends of the task somebody is to be told of, a bit each: 1 succeeded, 2 dead, 4 cancelled.
ALTER TABLE task ADD COLUMN notify INTEGER CHECK (notify BETWEEN 1 AND 7);

-- Whom to tell, of the few tasks that have such.
CREATE TABLE webhook (
    seq INTEGER PRIMARY KEY,
    hook BLOB NOT NULL
) STRICT;
