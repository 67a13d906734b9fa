-- Keeps byte_tally from now on. A task's row and its body may come and go in either order: what counts is the
-- second to come and the first to go. A task that waits or runs is one that has not finished.
CREATE TRIGGER bytes_task_in AFTER INSERT ON task
WHEN new.finished_at_ms IS NULL
BEGIN
    UPDATE byte_tally SET bytes = bytes + coalesce(
        (SELECT length(payload) + coalesce(length(meta), 0) FROM task_body WHERE seq = new.seq), 0)
    WHERE queue IN (new.queue, '');
END;

CREATE TRIGGER bytes_task_out BEFORE DELETE ON task
WHEN old.finished_at_ms IS NULL
BEGIN
    UPDATE byte_tally SET bytes = bytes - coalesce(
        (SELECT length(payload) + coalesce(length(meta), 0) FROM task_body WHERE seq = old.seq), 0)
    WHERE queue IN (old.queue, '');
END;

CREATE TRIGGER bytes_task_left AFTER UPDATE OF state, queue ON task
WHEN old.finished_at_ms IS NULL
    AND (old.queue <> new.queue OR new.finished_at_ms IS NOT NULL)
BEGIN
    UPDATE byte_tally SET bytes = bytes - coalesce(
        (SELECT length(payload) + coalesce(length(meta), 0) FROM task_body WHERE seq = old.seq), 0)
    WHERE queue IN (old.queue, '');
END;

CREATE TRIGGER bytes_task_entered AFTER UPDATE OF state, queue ON task
WHEN new.finished_at_ms IS NULL
    AND (old.queue <> new.queue OR old.finished_at_ms IS NOT NULL)
BEGIN
    UPDATE byte_tally SET bytes = bytes + coalesce(
        (SELECT length(payload) + coalesce(length(meta), 0) FROM task_body WHERE seq = new.seq), 0)
    WHERE queue IN (new.queue, '');
END;

CREATE TRIGGER bytes_body_in AFTER INSERT ON task_body
BEGIN
    UPDATE byte_tally SET bytes = bytes + length(new.payload) + coalesce(length(new.meta), 0)
    WHERE queue IN (
        (SELECT queue FROM task WHERE seq = new.seq AND finished_at_ms IS NULL),
        (SELECT '' FROM task WHERE seq = new.seq AND finished_at_ms IS NULL));
END;

CREATE TRIGGER bytes_body_out BEFORE DELETE ON task_body
BEGIN
    UPDATE byte_tally SET bytes = bytes - length(old.payload) - coalesce(length(old.meta), 0)
    WHERE queue IN (
        (SELECT queue FROM task WHERE seq = old.seq AND finished_at_ms IS NULL),
        (SELECT '' FROM task WHERE seq = old.seq AND finished_at_ms IS NULL));
END;

CREATE TRIGGER bytes_body_changed AFTER UPDATE OF payload, meta ON task_body
BEGIN
    UPDATE byte_tally SET bytes = bytes + length(new.payload) + coalesce(length(new.meta), 0)
        - length(old.payload) - coalesce(length(old.meta), 0)
    WHERE queue IN (
        (SELECT queue FROM task WHERE seq = new.seq AND finished_at_ms IS NULL),
        (SELECT '' FROM task WHERE seq = new.seq AND finished_at_ms IS NULL));
END;
