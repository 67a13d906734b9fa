"""What the address of an archive looks like."""

import re
from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = ("file", "s3", "gs", "abs", "sftp", "webdav", "webdavs", "oss")
_SHOWN: Final = 80


def wrong_archive(text: str) -> str | None:
    """What is wrong with an archive's URL; None when nothing is.

    Args:
        text: the URL, or empty for the default.
    """
    if not text:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return "must be a URL such as s3://bucket/folder"
    if parts.scheme not in SCHEMES:
        return f"must begin with {', '.join(f'{name}://' for name in SCHEMES)}, not {parts.scheme[:_SHOWN]!r}"
    if parts.password is not None:
        # Whatever shows the configuration would show it.
        return "must hold no password; put it into archive_credentials_file"
    if re.search(r"[\s\0$]", text) or parts.fragment:
        return "must be a URL without spaces, '$' or '#'"
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/") or parts.query):
        return "must be file:// and an absolute path, such as file:///srv/archive"
    if parts.scheme != "file" and not parts.netloc:
        return f"must name a host or a bucket, such as {parts.scheme}://name/folder"
    return None
