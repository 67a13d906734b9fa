"""From a call to its result: where to send it, whether to send it again, what its failure means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import msgspec

from tq import errors
from tq.backoff import CAP_S, pause_s
from tq.calls import Call, Repeat
from tq.clock import Clock
from tq.config import Settings
from tq.effects import Lost, Open, Pause, Program, Reply, Request, Send
from tq.refusals import from_bytes, from_problem
from tq.targets import Targets
from tq.version import VERSION
from tq.wire import Problem

T = TypeVar("T")

REDIRECTS_MAX = 5
CONNECT_S = 5.0
# Where another can be asked, a machine that is gone is not waited for longer than one lost packet takes.
CONNECT_OF_SEVERAL_S = 2.0
# Longer than a node takes to answer that is not overloaded; by then another one leads.
ANSWER_S = 5.0
SLOWEST_BYTES_PER_S = 100_000
# An election takes a second or two: one should not sleep past its end.
ELECTION_PAUSE_S = 0.5
# An open stream hears from the node every 15 s.
SILENCE_S = 45.0

_problem = msgspec.json.Decoder(Problem)


class Heard(NamedTuple):
    """What came of an attempt.

    Attributes:
        base: the base URL of the node it came from, or should have.
        led: another node named that one as the leader.
    """

    reply: Reply | Lost
    base: str
    led: bool = False


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt has no result.

    Attributes:
        error: what to raise if no other attempt is made.
        doubt: the attempt may have been carried out.
        repeatable: for a call that may be made twice, trying again makes sense.
        refused: the node said that it did nothing and when to come again.
        elsewhere: this node does certainly nothing; another may answer at once.
        leaderless: the cluster has no leader that serves, and will have one soon.
    """

    error: errors.TqError
    doubt: bool = False
    repeatable: bool = False
    refused: bool = False
    elsewhere: bool = False
    leaderless: bool = False


class Exchange:
    """Carries out calls against one of several nodes.

    Args:
        settings: the nodes, and the token.
        timeout_s: seconds for one call in all.
        retries: how often to try again at most; while the cluster has no leader, for as long as the
            call may take, unless it is 0.
        clock: time and chance.
    """

    def __init__(self, settings: Settings, *, timeout_s: float, retries: int, clock: Clock) -> None:
        if not timeout_s > 0 or retries < 0:
            raise ValueError("timeout_s is to be more than 0, retries at least 0")
        self.targets = Targets(settings.urls)
        self.retries = retries
        self._timeout_s = timeout_s
        self._clock = clock
        self._headers = {"accept": "application/json", "user-agent": f"tq/{VERSION}"}
        if settings.token is not None:
            self._headers["authorization"] = f"Bearer {settings.token}"

    def run(self, call: Call[T]) -> Program[T]:
        """The call's result.

        Raises:
            TqError: what the node answered; that it could not be reached; that no answer came.
        """
        deadline = self._clock.monotonic() + self._timeout_s + call.wait_s
        doubt, asked, retry, pauses = False, 0, 0, 0
        leaderless: Trouble | None = None
        while True:
            heard = yield from self._send(call, deadline, retry)
            if isinstance(heard.reply, Reply):
                if 200 <= heard.reply.status < 300:
                    return self._read(call, heard.reply, heard.base)
                if heard.reply.status == 404 and doubt and call.gone_is_done:
                    return call.read(b"")
            trouble = self.trouble(heard)
            doubt = doubt or trouble.doubt
            if trouble.repeatable:
                self.targets.failed(heard.base)
            if not _may_repeat(call, trouble):
                raise self._verdict(call, trouble, doubt=doubt)
            if trouble.leaderless:
                leaderless = trouble
            asked += trouble.elsewhere
            # Every node is asked before any pause: one that is down must not cost the call its time.
            if trouble.elsewhere and asked % len(self.targets.urls):
                continue
            pauses += 1
            # Elections end by themselves: what is counted is what may go on for ever.
            retry += leaderless is None or self.retries == 0
            trouble = leaderless or trouble
            pause = self._pause_s(pauses, trouble)
            if retry > self.retries or self._clock.monotonic() + pause >= deadline:
                raise self._verdict(call, trouble, doubt=doubt)
            yield Pause(pause)
            asked, leaderless = 0, None

    def until(self) -> float:
        """When a request that is sent now must be answered."""
        return self._clock.monotonic() + self._timeout_s

    def trouble(self, heard: Heard) -> Trouble:
        """What an attempt without a result means."""
        reply = heard.reply
        if isinstance(reply, Lost):
            return self._trouble_of_silence(reply, heard)
        problem = _read_problem(reply)
        error = from_problem(problem) if problem else None
        if error is None:
            error = from_bytes(reply.body, status=reply.status, url=heard.base)
        if error.retry_after_s is None:
            error.retry_after_s = _retry_after_s(reply)
        refused = reply.status in (429, 503) and error.retry_after_s is not None
        elsewhere = isinstance(error, errors.NoLeader | errors.Draining)
        return Trouble(
            error=error,
            # Without a node's own word, a gateway's complaint says nothing of what the node did.
            doubt=isinstance(error, errors.OutcomeUnknown)
            or (problem is None and reply.status in (502, 503, 504) and not refused),
            repeatable=refused or reply.status in (408, 502, 503, 504),
            refused=refused,
            elsewhere=elsewhere,
            leaderless=isinstance(error, errors.NoLeader) or (elsewhere and heard.led),
        )

    def _trouble_of_silence(self, lost: Lost, heard: Heard) -> Trouble:
        if lost.sent:
            words = f"no answer from {heard.base}: {lost.reason}"
        elif heard.led:
            words = f"cannot reach {heard.base}, which another node names as the leader: {lost.reason}"
        else:
            words = (
                f"cannot reach {' or '.join(self.targets.urls)}: {lost.reason}; is tqnode running there?"
                " TQ_URL, url= or --url names another node"
            )
        return Trouble(
            error=errors.TqUnavailable(words),
            doubt=lost.sent,
            repeatable=True,
            elsewhere=not lost.sent,
            leaderless=heard.led and not lost.sent,
        )

    def attempt(
        self,
        effect: type[Send | Open],
        path: str,
        *,
        method: str,
        headers: Mapping[str, str],
        body: bytes | None,
        until: float,
        long: bool = False,
    ) -> Program[Heard]:
        """One attempt, along redirects.

        Raises:
            ApiError: a redirect leads nowhere, to another path, or away from TLS.
        """
        base = self.targets.current
        several = len(self.targets.urls) > 1
        everything = {**self._headers, **headers}
        if body is not None:
            everything["content-type"] = "application/json"
        seen: set[str] = set()
        while True:
            request = Request(
                method=method,
                url=base + path,
                headers=everything,
                body=body,
                connect_s=CONNECT_OF_SEVERAL_S if several or seen else CONNECT_S,
                until=until,
                silence_s=SILENCE_S,
                long=long,
            )
            reply: Reply | Lost = yield effect(request)
            if isinstance(reply, Lost) or reply.status not in (307, 308):
                return Heard(reply, base, led=bool(seen))
            seen.add(base)
            location = reply.headers.get("location", "")
            try:
                url = self.targets.redirected(url=request.url, location=location, path=path)
            except ValueError as error:
                raise errors.ApiError(str(error), status=reply.status) from error
            base = url.removesuffix(path)
            if base in seen or len(seen) > REDIRECTS_MAX:
                # Nodes that have not heard of the newest leader yet; each of them did nothing.
                return Heard(
                    Lost(sent=False, reason="the nodes send each other's callers round"), base, led=True
                )

    def _send(self, call: Call[T], deadline: float, retry: int) -> Program[Heard]:
        until, now = deadline, self._clock.monotonic()
        if len(self.targets.urls) > 1 and call.repeat is not Repeat.ONCE:
            # A node that hangs must leave time to ask another, one that is slow must not be asked too often.
            sending_s = len(call.body or b"") / SLOWEST_BYTES_PER_S
            patience_s = call.wait_s + (ANSWER_S + sending_s) * 2**retry
            half_s = max(0.0, deadline - now - call.wait_s) / 2
            until = min(deadline - half_s, now + patience_s)
        headers = {} if call.idempotency_key is None else {"idempotency-key": call.idempotency_key}
        return self.attempt(
            Send,
            call.path,
            method=call.method,
            headers=headers,
            body=call.body,
            until=until,
            long=call.wait_s > 0,
        )

    def _read(self, call: Call[T], reply: Reply, base: str) -> T:
        try:
            return call.read(reply.body)
        except msgspec.DecodeError as error:
            raise from_bytes(reply.body, status=reply.status, url=base) from error

    def _pause_s(self, pauses: int, trouble: Trouble) -> float:
        cap_s = ELECTION_PAUSE_S if trouble.leaderless else CAP_S
        jitter_s = pause_s(pauses, fraction=self._clock.fraction(), cap_s=cap_s)
        return (trouble.error.retry_after_s or 0.0) + jitter_s

    def _verdict(self, call: Call[T], trouble: Trouble, *, doubt: bool) -> errors.TqError:
        if not doubt or call.repeat is Repeat.READ or isinstance(trouble.error, errors.OutcomeUnknown):
            return trouble.error
        error = errors.OutcomeUnknown(
            f"{call.method} {call.path} may or may not have been carried out: {trouble.error.detail}"
        )
        error.status = trouble.error.status
        error.__cause__ = trouble.error
        return error


def _may_repeat(call: Call[T], trouble: Trouble) -> bool:
    if call.repeat is Repeat.ONCE:
        return trouble.refused or trouble.elsewhere
    return trouble.repeatable


def _read_problem(reply: Reply) -> Problem | None:
    if not reply.headers.get("content-type", "").startswith(("application/problem+json", "application/json")):
        return None
    try:
        return _problem.decode(reply.body)
    except msgspec.DecodeError:
        return None


def _retry_after_s(reply: Reply) -> float | None:
    """Only the form in seconds: a date would need the node's clock to agree with ours."""
    text = reply.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
