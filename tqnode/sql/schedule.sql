-- name: read_schedule
SELECT s.name, s.cron, s.time_zone, s.dst_gap, s.dst_overlap, s.every_ms, s.anchor_ms, s.missed, s.overlap,
    s.paused, s.created_at_ms, s.updated_at_ms, s.next_ms, s.due_ms, s.done_ms, s.fired_ms, s.last_task,
    s.fires, s.skips, t.spec, t.payload
FROM schedule s JOIN schedule_task t USING (name)
WHERE name = :name

-- name: list_schedules
SELECT s.name, s.cron, s.time_zone, s.dst_gap, s.dst_overlap, s.every_ms, s.anchor_ms, s.missed, s.overlap,
    s.paused, s.created_at_ms, s.updated_at_ms, s.next_ms, s.due_ms, s.done_ms, s.fired_ms, s.last_task,
    s.fires, s.skips, t.spec, x''
FROM schedule s JOIN schedule_task t USING (name)
WHERE name > :after
ORDER BY name LIMIT :limit

-- name: count_schedules
SELECT paused, count(*) FROM schedule GROUP BY paused

-- name: put_schedule
INSERT INTO schedule (name, cron, time_zone, dst_gap, dst_overlap, every_ms, anchor_ms, missed, overlap, paused,
    created_at_ms, updated_at_ms, next_ms, due_ms)
VALUES (:name, :cron, :time_zone, :dst_gap, :dst_overlap, :every_ms, :anchor_ms, :missed, :overlap, :paused,
    :now_ms, :now_ms, :next_ms, :due_ms)
ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, time_zone = excluded.time_zone,
    dst_gap = excluded.dst_gap, dst_overlap = excluded.dst_overlap, every_ms = excluded.every_ms,
    anchor_ms = excluded.anchor_ms, missed = excluded.missed, overlap = excluded.overlap,
    paused = excluded.paused, updated_at_ms = excluded.updated_at_ms, next_ms = excluded.next_ms,
    due_ms = excluded.due_ms

-- name: put_schedule_task
INSERT INTO schedule_task (name, spec, payload) VALUES (:name, :spec, :payload)
ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, payload = excluded.payload

-- name: set_schedule_paused
UPDATE schedule SET paused = :paused, next_ms = :next_ms, due_ms = :due_ms, updated_at_ms = :now_ms
WHERE name = :name

-- name: delete_schedule
DELETE FROM schedule WHERE name = :name

-- name: delete_schedule_task
DELETE FROM schedule_task WHERE name = :name

-- name: find_due_schedules
SELECT name FROM schedule WHERE paused = 0 AND due_ms IS NOT NULL AND due_ms <= :now_ms
ORDER BY due_ms LIMIT :limit

-- name: advance_schedule
UPDATE schedule SET next_ms = :next_ms, due_ms = :due_ms, done_ms = :done_ms, fired_ms = :fired_ms,
    last_task = :last_task, fires = :fires, skips = :skips
WHERE name = :name

-- name: put_off_schedule
UPDATE schedule SET due_ms = :due_ms WHERE name = :name

-- name: next_schedule
SELECT min(due_ms) FROM schedule WHERE paused = 0 AND due_ms IS NOT NULL

-- name: find_task_state
SELECT state FROM task WHERE seq = :seq AND id = :id
