-- name: insert_dependency
INSERT INTO dependency (parent, open, child) VALUES (?, ?, ?)

-- name: find_parents
SELECT seq, id, state FROM task WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: mark_awaited
UPDATE task SET awaited = 1 WHERE seq = ? AND awaited = 0

-- name: read_states
SELECT seq, state FROM task WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: find_blocked
SELECT seq, id, queue, kind, state, priority, run_at_ms, attempt, needs, pending, awaited, notify, batch FROM task
WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: find_open_dependencies
SELECT d.parent, t.seq, t.id, t.queue, t.kind, t.state, t.priority, t.run_at_ms, t.attempt, t.needs,
    t.pending, t.awaited, t.notify, t.batch
FROM json_each(:parents) p CROSS JOIN dependency d ON d.parent = p.value AND d.open = 1
    CROSS JOIN task t ON t.seq = d.child
LIMIT :limit

-- name: close_dependency
UPDATE dependency SET open = 0 WHERE parent = ? AND open = 1 AND child = ?

-- name: count_parents_off
UPDATE task SET pending = pending - ? WHERE seq = ?

-- name: release_task
UPDATE task SET pending = 0, state = ?, run_at_ms = ? WHERE seq = ?

-- name: cancel_follower
UPDATE task SET pending = pending - ?, state = 'cancelled', reason = 'dependency', finished_at_ms = ?
WHERE seq = ?

-- name: put_settlement_off
INSERT INTO settlement (parent, succeeded) VALUES (?, ?)
ON CONFLICT (parent) DO NOTHING

-- name: take_settlements
DELETE FROM settlement WHERE parent IN (SELECT parent FROM settlement ORDER BY parent LIMIT :limit)
RETURNING parent, succeeded

-- name: find_settlement
SELECT succeeded FROM settlement WHERE parent = :seq

-- name: next_settlement
-- What is put off is due at once.
SELECT 0 FROM settlement LIMIT 1

-- name: forget_parents
DELETE FROM dependency WHERE child IN (SELECT value FROM json_each(:seqs))

-- name: read_inputs
-- The index gives the parents in their order. A length is read without the result.
SELECT d.child, d.parent, p.id, p.kind, p.state, length(n.result)
FROM json_each(:seqs) c CROSS JOIN dependency d ON d.child = c.value
    CROSS JOIN task p ON p.seq = d.parent LEFT JOIN task_note n ON n.seq = p.seq
LIMIT :limit

-- name: read_results
SELECT seq, result FROM task_note WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: find_parents_of
SELECT d.parent FROM json_each(:seqs) c CROSS JOIN dependency d ON d.child = c.value LIMIT :limit

-- name: find_children_of
SELECT d.child FROM json_each(:seqs) p CROSS JOIN dependency d ON d.parent = p.value LIMIT :limit

-- name: read_graph_nodes
SELECT seq, id, queue, kind, state, reason, needs, pending FROM task
WHERE seq IN (SELECT value FROM json_each(:seqs)) ORDER BY seq

-- name: read_graph_edges
-- The + has it look at the edges there are, not at all there could be.
SELECT d.parent, d.child FROM json_each(:seqs) c CROSS JOIN dependency d ON d.child = c.value
WHERE +d.parent IN (SELECT value FROM json_each(:seqs))
LIMIT :limit
