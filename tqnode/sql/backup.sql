-- name: check_integrity
PRAGMA integrity_check(10)

-- name: count_by_state
SELECT state, count(*) FROM task GROUP BY state

-- name: tallies_that_lie
SELECT queue, state, tasks FROM tally WHERE tasks <> 0
EXCEPT
SELECT queue, state, count(*) FROM task GROUP BY queue, state

-- name: every_task
SELECT * FROM task ORDER BY seq

-- name: every_task_body
SELECT * FROM task_body ORDER BY seq

-- name: every_task_note
SELECT * FROM task_note ORDER BY seq

-- name: every_task_tag
SELECT tag, seq FROM task_tag ORDER BY tag, seq

-- name: every_dependency
SELECT parent, child, open FROM dependency ORDER BY parent, child

-- name: every_settlement
SELECT * FROM settlement ORDER BY parent

-- name: every_queue
SELECT * FROM queue ORDER BY name

-- name: every_worker
SELECT * FROM worker ORDER BY id

-- name: every_idempotency
SELECT * FROM idempotency ORDER BY key

-- name: every_bulk
SELECT * FROM bulk ORDER BY seq

-- name: every_schedule
SELECT * FROM schedule ORDER BY name

-- name: every_schedule_task
SELECT * FROM schedule_task ORDER BY name

-- name: every_batch
SELECT * FROM batch ORDER BY seq

-- name: every_batch_callback
SELECT * FROM batch_callback ORDER BY batch, event

-- name: every_batch_event
SELECT batch, event, due_ms FROM batch_event ORDER BY batch, event

-- name: every_task_log
SELECT * FROM task_log ORDER BY seq, number

-- name: every_log_remains
SELECT * FROM log_remains ORDER BY seq

-- name: every_result_time
SELECT * FROM result_time ORDER BY seq

-- name: every_webhook
SELECT * FROM webhook ORDER BY seq

-- name: every_limit_rule
SELECT * FROM limit_rule ORDER BY name

-- name: every_bucket
SELECT * FROM bucket ORDER BY queue, key

-- name: every_node_pause
SELECT * FROM node_pause ORDER BY lone
