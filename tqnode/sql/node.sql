-- name: node_pragmas
-- The exclusive hold keeps the index of the write-ahead log in memory: on a full disk, writing to a
-- mapped file would end the process. auto_vacuum must stand before the first table is made.
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA journal_size_limit = 16777216;
PRAGMA temp_store = MEMORY;

-- name: read_node
SELECT node_id, cluster_id, fresh, term, holder, applied_term, applied_txid, log_term, log_first, log_last, seal
FROM node

-- name: write_node
INSERT OR REPLACE INTO node
    (one, node_id, cluster_id, fresh, term, holder, applied_term, applied_txid,
    log_term, log_first, log_last, seal)
VALUES (1, :node_id, :cluster_id, :fresh, :term, :holder, :applied_term, :applied_txid,
    :log_term, :log_first, :log_last, :seal)

-- name: read_heads
SELECT term, txid, sha256, prev_sha256, size, seal FROM entry WHERE txid >= :first ORDER BY txid LIMIT :limit

-- name: read_last_head
SELECT term, txid, sha256, prev_sha256, size, seal FROM entry ORDER BY txid DESC LIMIT 1

-- name: read_head
SELECT term, txid, sha256, prev_sha256, size, seal FROM entry WHERE txid = :txid

-- name: read_entry
SELECT entry.file, entry_bytes.bytes
FROM entry LEFT JOIN entry_bytes ON entry_bytes.txid = entry.txid
WHERE entry.txid = :txid AND entry.term = :term

-- name: read_entry_file
SELECT file FROM entry WHERE txid = :txid AND file IS NOT NULL

-- name: read_entry_files
SELECT file FROM entry WHERE file IS NOT NULL

-- name: read_entry_files_below
SELECT file FROM entry WHERE txid < :txid AND file IS NOT NULL

-- name: put_entry
INSERT OR REPLACE INTO entry (txid, term, sha256, prev_sha256, size, file, seal)
VALUES (:txid, :term, :sha256, :prev_sha256, :size, :file, :seal)

-- name: put_entry_bytes
INSERT OR REPLACE INTO entry_bytes (txid, bytes) VALUES (:txid, :bytes)

-- name: delete_entry_bytes
DELETE FROM entry_bytes WHERE txid = :txid

-- name: delete_entries_below
DELETE FROM entry WHERE txid < :txid

-- name: delete_entry_bytes_below
DELETE FROM entry_bytes WHERE txid < :txid

-- name: delete_entries
DELETE FROM entry

-- name: delete_all_entry_bytes
DELETE FROM entry_bytes

-- name: give_back_pages
PRAGMA incremental_vacuum(1024)
