-- name: insert_result_time
INSERT INTO result_time (seq, ttl_ms, look_ms) VALUES (?, ?, ?)

-- name: find_results_due
SELECT r.seq, r.ttl_ms, t.created_at_ms, t.finished_at_ms, n.result IS NOT NULL
FROM result_time r JOIN task t ON t.seq = r.seq LEFT JOIN task_note n ON n.seq = r.seq
WHERE r.look_ms IS NOT NULL AND r.look_ms <= :now_ms
ORDER BY r.look_ms LIMIT :limit

-- name: next_result
SELECT min(look_ms) FROM result_time WHERE look_ms IS NOT NULL

-- name: put_look_off
UPDATE result_time SET look_ms = ? WHERE seq = ?

-- name: end_result_time
UPDATE result_time SET look_ms = NULL, expired = ? WHERE seq = ?

-- name: drop_result
UPDATE task_note SET result = NULL WHERE seq = ?

-- name: renew_result_time
UPDATE result_time SET look_ms = :now_ms + ttl_ms, expired = 0 WHERE seq = :seq

-- name: forget_result_times
DELETE FROM result_time WHERE seq IN (SELECT value FROM json_each(:seqs))
