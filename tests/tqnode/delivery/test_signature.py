"""Signatures are those of the Standard Webhooks, bit for bit."""

import base64
import hashlib
import hmac
import re
from pathlib import Path
from typing import Any

import pytest

import tqweb
from tqnode.delivery.signature import read_secret, sign

# From the documents of the Standard Webhooks' reference libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
EVENT_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT_S = 1614265330
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_known_message_gets_its_known_signature() -> None:
    headers = sign([read_secret(SECRET)], event_id=EVENT_ID, at_s=AT_S, body=BODY)
    assert headers == {
        "webhook-id": EVENT_ID,
        "webhook-timestamp": str(AT_S),
        "webhook-signature": SIGNATURE,
    }


def test_two_secrets_sign_both_the_newest_first() -> None:
    old, new = read_secret(SECRET), b"n" * 32
    headers = sign([new, old], event_id=EVENT_ID, at_s=AT_S, body=BODY)
    first, second = headers["webhook-signature"].split(" ")
    signed = f"{EVENT_ID}.{AT_S}.".encode() + BODY
    digest = hmac.new(new, signed, hashlib.sha256).digest()
    assert (first, second) == (f"v1,{base64.b64encode(digest).decode()}", SIGNATURE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_c2hvcnQ=",
        "whsec_not base64 at all!",
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
    ],
)
def test_what_is_no_secret_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(ValueError, match="must be whsec_") as caught:
        read_secret(text)
    assert not text or text not in str(caught.value).replace(
        '"whsec_$(openssl rand -base64 32)"', ""
    ).replace("must be whsec_ and", "")


def test_the_documented_check_takes_what_is_signed_and_nothing_else() -> None:
    page = (Path(tqweb.__file__).parent / "docs" / "webhooks.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    verify = names["verify"]
    at_s = int(names["time"].time())
    headers = sign([b"other" * 8, read_secret(SECRET)], event_id=EVENT_ID, at_s=at_s, body=BODY)
    verify(SECRET, headers, BODY)
    with pytest.raises(ValueError, match="not signed"):
        verify(SECRET, headers, BODY + b" ")
    with pytest.raises(ValueError, match="not signed"):
        verify(SECRET, headers | {"webhook-id": "msg_other"}, BODY)
    with pytest.raises(ValueError, match="too old"):
        verify(SECRET, sign([read_secret(SECRET)], event_id=EVENT_ID, at_s=at_s - 900, body=BODY), BODY)
