-- Only a task whose key is held for a time has these two: how long, and until when by the last reckoning.
ALTER TABLE task ADD COLUMN unique_period_ms INTEGER CHECK (unique_period_ms > 0);
ALTER TABLE task ADD COLUMN unique_until_ms INTEGER
    CHECK ((unique_until_ms IS NULL) = (unique_period_ms IS NULL));
