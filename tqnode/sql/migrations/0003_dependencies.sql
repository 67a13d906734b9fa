-- Most tasks wait for nobody and nobody waits for them: of these the row itself says so.
ALTER TABLE task ADD COLUMN needs TEXT CHECK (needs IN ('succeeded', 'finished'));
-- Parents that have not ended yet.
ALTER TABLE task ADD COLUMN pending INTEGER NOT NULL DEFAULT 0
    CHECK (pending >= 0 AND (state <> 'blocked' OR pending > 0));
-- Whether tasks were ever enqueued after it.
ALTER TABLE task ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0 CHECK (awaited IN (0, 1));

-- Who was enqueued after whom. Open: the parent's end is not counted yet; it comes before the child in
-- the key, so that the open ones of a parent with very many are found at once.
CREATE TABLE dependency (
    parent INTEGER NOT NULL,
    open INTEGER NOT NULL CHECK (open IN (0, 1)),
    child INTEGER NOT NULL,
    PRIMARY KEY (parent, open, child)
) STRICT, WITHOUT ROWID;

CREATE INDEX dependency_child ON dependency (child);

-- Parents that have ended and whose open dependencies are still to be counted, with how they ended.
CREATE TABLE settlement (
    parent INTEGER PRIMARY KEY,
    succeeded INTEGER NOT NULL CHECK (succeeded IN (0, 1))
) STRICT;
