-- name: list_terms
SELECT number, started_at_ms, node FROM term ORDER BY number

-- name: note_term
INSERT INTO term (number, started_at_ms, node) VALUES (:number, :started_at_ms, :node)
ON CONFLICT (number) DO NOTHING

-- name: forget_terms
DELETE FROM term WHERE number IN (SELECT value FROM json_each(:numbers))
