"""Signs what is sent, as the Standard Webhooks say: receivers check it with any library for these. Pure."""

import base64
import binascii
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES_MIN = 24
SECRET_BYTES_MAX = 64


def read_secret(text: str) -> bytes:
    """The key in ``whsec_…``.

    Raises:
        ValueError: it is no such secret; the text of the error does not hold it.
    """
    body = text.strip().removeprefix(PREFIX)
    try:
        key = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.strip().startswith(PREFIX) or not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise ValueError(
            f"must be {PREFIX} and {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes in base64, such as: "
            'echo "whsec_$(openssl rand -base64 32)"'
        )
    return key


def sign(secrets: Sequence[bytes], *, event_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows that the body is the node's, and new.

    Args:
        secrets: the keys; while one takes the place of another, both.
        event_id: the same at each attempt.
        at_s: the time of this attempt, in seconds since 1970.
        body: what is sent.
    """
    signed = f"{event_id}.{at_s}.".encode() + body
    digests = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in secrets]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{digest}" for digest in digests),
    }
