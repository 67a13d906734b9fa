"""The errors that blame one field of a request; :mod:`tq.errors` shows the whole tree."""

from tq.error_base import InvalidField


class UnknownField(InvalidField):
    """A field the node does not know."""


class MissingField(InvalidField):
    """A field that must be there is absent."""


class TooDeep(InvalidField):
    """The body is nested deeper than the node's ``json_depth_max``."""


class NumberOutOfRange(InvalidField):
    """An integer outside 64 bits, or a float that overflows."""


class DuplicateKey(InvalidField):
    """An object names the same key twice."""


class InvalidText(InvalidField):
    """A string holds a lone surrogate or U+0000."""


class BatchTooLarge(InvalidField):
    """The request brings more tasks or outcomes than ``limit``."""


class TooManyValues(InvalidField):
    """The body holds more JSON values than ``limit``."""


class UnknownParent(InvalidField):
    """A task in ``after`` is not there."""


class UnknownRef(InvalidField):
    """No task of the request has this ``ref``."""


class DuplicateRef(InvalidField):
    """Two tasks of the request have the same ``ref``."""


class DependencyCycle(InvalidField):
    """The tasks of the request wait for each other in a circle."""


class TooManyParents(InvalidField):
    """A task waits for more others than ``limit``."""


class InvalidCron(InvalidField):
    """It is no cron expression, or no time to come is like it."""


class UnknownTimeZone(InvalidField):
    """The IANA database has no time zone of that name."""


class TooManySchedules(InvalidField):
    """The node has as many schedules as it allows: ``limit``."""


class ReservedQueue(InvalidField):
    """The queue is the node's own."""


class UnknownWebhook(InvalidField):
    """The node's configuration has no webhook, or no secret, of that name."""


class LimitExists(InvalidField):
    """Another limit is on the same tasks; the message says which."""


class TooManyLimits(InvalidField):
    """The node has as many limits as it allows: ``limit``."""


class FilterRequired(InvalidField):
    """The filter lets all tasks through: to mean that, say so with ``all``."""


class TooManyBulks(InvalidField):
    """As many bulk operations are under way as the node allows: ``limit``."""


class OutsideArchive(InvalidField):
    """The node's archive does not have that moment; the message says what it has."""


class NoArchive(InvalidField):
    """The node keeps no archive: it has no past to read."""
