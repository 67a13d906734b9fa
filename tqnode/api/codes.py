"""Every code an error may have, with its status and what it says: for the API's description."""

from typing import NamedTuple


class Code(NamedTuple):
    """A code's status and meaning."""

    status: int
    about: str


CODES: dict[str, Code] = {
    "not_leader": Code(307, "Another node leads; the Location header says where to send the request."),
    "invalid_http": Code(400, "What came is not HTTP."),
    "invalid_json": Code(400, "The body is not JSON in UTF-8."),
    "invalid_cursor": Code(400, "The cursor is not one that a page of this node ended with."),
    "route_not_found": Code(404, "There is nothing at this path."),
    "task_not_found": Code(404, "There is no such task, or it was deleted."),
    "worker_not_found": Code(404, "There is no such worker, or it fell silent and was dropped."),
    "queue_not_found": Code(404, "No task was ever put in this queue, and it has no settings."),
    "schedule_not_found": Code(404, "There is no such schedule."),
    "limit_not_found": Code(404, "There is no such limit."),
    "batch_not_found": Code(404, "There is no such batch, or it was deleted."),
    "bulk_not_found": Code(404, "There is no such bulk operation, or it was forgotten since it ended."),
    "node_not_found": Code(404, "The cluster has no such node."),
    "page_not_found": Code(404, "There is no such page of documentation."),
    "method_not_allowed": Code(
        405, "The path does not take this method; the Allow header says which it does."
    ),
    "request_timeout": Code(408, "The request did not arrive in time."),
    "lease_lost": Code(409, "The token is not the task's current one; nothing was changed."),
    "unique_conflict": Code(409, "Another task holds the unique key; `task` says which."),
    "wrong_state": Code(409, "The task's state does not allow the operation."),
    "batch_finished": Code(409, "The batch has finished: it takes no more tasks."),
    "batch_cancelled": Code(409, "The batch was cancelled: it takes no more tasks."),
    "handover_failed": Code(409, "No other node could take over; the leader goes on."),
    "idempotency_mismatch": Code(409, "The Idempotency-Key came before, with another body."),
    "body_too_large": Code(413, "The body has more bytes than `limit`."),
    "unsupported_media_type": Code(415, "The body is not said to be application/json in UTF-8."),
    "invalid_field": Code(422, "A field, parameter or header is of the wrong type or out of bounds."),
    "unknown_field": Code(422, "There is no such field or parameter."),
    "missing_field": Code(422, "A required field is absent."),
    "duplicate_key": Code(422, "An object has the same key twice."),
    "number_out_of_range": Code(422, "An integer is beyond 64 bits, or a number beyond a double."),
    "invalid_text": Code(422, "A text holds U+0000 or half of a surrogate pair."),
    "too_deep": Code(422, "Arrays and objects lie deeper within each other than `limit`."),
    "too_many_values": Code(422, "The body holds more JSON values than `limit`."),
    "batch_too_large": Code(422, "The request brings more tasks or outcomes than `limit`."),
    "unknown_parent": Code(422, "A task in `after` is not there: it never was, or it was deleted."),
    "unknown_ref": Code(422, "No task of the request has this `ref`."),
    "duplicate_ref": Code(422, "Two tasks of the request have the same `ref`."),
    "dependency_cycle": Code(422, "The tasks of the request wait for each other in a circle."),
    "too_many_parents": Code(422, "A task waits for more others than `limit`."),
    "invalid_cron": Code(422, "It is no cron expression, or no time to come is like it; `detail` says why."),
    "unknown_time_zone": Code(422, "The IANA database has no time zone of that name."),
    "too_many_schedules": Code(422, "There are as many schedules as allowed, `limit`."),
    "reserved_queue": Code(422, "The queue is the node's own: no client enqueues into it or claims from it."),
    "unknown_webhook": Code(422, "The node's configuration has no webhook, or no secret, of that name."),
    "limit_exists": Code(422, "Another limit is on the same tasks; `detail` says which."),
    "too_many_limits": Code(422, "There are as many limits as allowed, `limit`."),
    "filter_required": Code(422, "The filter lets all tasks through, and `all` is not said."),
    "too_many_bulks": Code(422, "As many bulk operations are under way as allowed, `limit`."),
    "outside_archive": Code(422, "The archive does not have that moment; `detail` says what it has."),
    "no_archive": Code(422, "The node keeps no archive: it runs without Litestream."),
    "queue_draining": Code(409, "The queue is being drained: it takes no new tasks until it is resumed."),
    "queue_full": Code(
        429,
        "Queue or node hold as much, or there are as many queues, as `limit` allows; `field` names it.",
    ),
    "headers_too_large": Code(431, "The path and headers have too many bytes."),
    "internal": Code(500, "The node failed; its log has the reason under `request_id`."),
    "overloaded": Code(503, "The node has as much to do as it takes; Retry-After says when to come again."),
    "no_leader": Code(503, "No node leads at this moment; Retry-After says when to come again."),
    "draining": Code(503, "The node is stopping."),
    "disk_full": Code(503, "The node's disk is full: it reads, but does not write."),
    "archive_unavailable": Code(503, "The archive cannot be asked for the past just now."),
    "outcome_unknown": Code(504, "The write may or may not have been made."),
}

OF_EVERY_CALL = ("invalid_field", "internal")
OF_EVERY_WRITE = ("not_leader", "no_leader", "overloaded", "draining", "disk_full", "outcome_unknown")
OF_EVERY_BODY = (
    "invalid_json",
    "unsupported_media_type",
    "body_too_large",
    "request_timeout",
    "unknown_field",
    "missing_field",
    "duplicate_key",
    "number_out_of_range",
    "invalid_text",
    "too_deep",
    "too_many_values",
)
