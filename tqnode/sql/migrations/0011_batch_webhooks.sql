-- Whom to tell of the batch's events, as JSON; most batches tell nobody.
ALTER TABLE batch ADD COLUMN webhook BLOB;
