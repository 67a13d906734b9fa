"""How nodes prove who they are: by certificates, by a shared secret or, on one machine, not at all."""

import hashlib
import hmac
import logging
import os
import ssl
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from tqnode.config.peers import is_loopback
from tqnode.replication.peer_refusals import Refused

SECRET_BYTES_MIN: Final = 16
SECRET_BYTES_MAX: Final = 4096
DIALLER: Final = b"tqnode dialler"
ANSWERER: Final = b"tqnode answerer"

logger = logging.getLogger(__name__)


class AuthError(Exception):
    """A file that peers are known by can't be used; the text says why and what to do."""


class Session(NamedTuple):
    """Keys of the MACs of one connection.

    Args:
        dialler: for the frames of the node that dialled.
        answerer: for those of the other one.
    """

    dialler: bytes
    answerer: bytes


class Auth(Protocol):
    """One way to prove it. Files are read anew when they have changed."""

    kind: str

    def context(self, *, server: bool) -> ssl.SSLContext | None:
        """What TLS is made with; None to speak without it."""
        ...

    def check_certificate(self, ssl_object: Any, name: str) -> None:
        """Raises Refused unless the other side's certificate is of the node ``name``."""
        ...

    def secret(self) -> bytes | None:
        """What both know, at this moment; None if nothing."""
        ...


class Open:
    """No proof at all: only for peers on the same machine."""

    kind = "open"

    def context(self, *, server: bool) -> None:
        return None

    def check_certificate(self, ssl_object: Any, name: str) -> None:
        return None

    def secret(self) -> None:
        return None


class SharedSecret:
    """A secret in a file that all nodes have.

    It is proved by HMAC-SHA256 over both nodes' nonces and names, and keys a MAC on every frame. It does not
    hide what is sent.

    Args:
        file: at least 16 bytes, not for everybody to read.

    Raises:
        AuthError: the file can't be used.
    """

    kind = "secret"

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp = _stamp(file)
        self._secret = _read_secret(file)

    def context(self, *, server: bool) -> None:
        return None

    def check_certificate(self, ssl_object: Any, name: str) -> None:
        return None

    def secret(self) -> bytes:
        try:
            stamp = _stamp(self._file)
            if stamp != self._stamp:
                self._secret = _read_secret(self._file)
                self._stamp = stamp
                logger.info("read the peers' secret anew")
        except AuthError as error:
            logger.error("%s; the secret read before stays in use", error)
        return self._secret


class Certificates:
    """Mutual TLS 1.3: each node has a certificate of the same authority for its own name.

    Args:
        cert: PEM file of the node's certificate, with the chain up to the authority.
        key: PEM file of its key, not for everybody to read.
        authority: PEM file of the certificates that sign the nodes' ones.

    Raises:
        AuthError: a file can't be used.
    """

    kind = "tls"

    def __init__(self, cert: Path, key: Path, authority: Path) -> None:
        self._files = (cert, key, authority)
        self._stamps = [_stamp(file) for file in self._files]
        self._contexts = self._load()

    def _load(self) -> dict[bool, ssl.SSLContext]:
        cert, key, authority = self._files
        _check_private(key)
        try:
            return {server: _context(cert, key, authority, server=server) for server in (True, False)}
        except (OSError, ssl.SSLError) as error:
            names = ", ".join(map(str, self._files))
            raise AuthError(f"the peers' certificate cannot be used ({names}): {error}") from error

    def context(self, *, server: bool) -> ssl.SSLContext:
        try:
            stamps = [_stamp(file) for file in self._files]
            if stamps != self._stamps:
                self._contexts = self._load()
                self._stamps = stamps
                logger.info("read the peers' certificate anew")
        except AuthError as error:
            # Perhaps only one of the files was replaced yet.
            logger.warning("%s; the certificate read before stays in use", error)
        return self._contexts[server]

    def check_certificate(self, ssl_object: Any, name: str) -> None:
        certificate = ssl_object.getpeercert() if ssl_object is not None else None
        names = [value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "DNS"]
        if name.lower() not in [value.lower() for value in names]:
            raise Refused(
                "certificate",
                f"its certificate is of {', '.join(names)[:200] or 'nobody'}, not of {name[:80]!r}: "
                "give each node one with its own name as a DNS subject alternative name",
            )

    def secret(self) -> None:
        return None


def choose_auth(
    *, secret_file: str, cert: str, key: str, authority: str, hosts: Iterable[str]
) -> Open | SharedSecret | Certificates:
    """How the nodes of a cluster are to know each other.

    Args:
        secret_file: of the configuration; empty for none. So are the next three.
        cert: PEM file of this node's certificate.
        key: PEM file of its key.
        authority: PEM file of the authority.
        hosts: where this node listens and where the others do.

    Raises:
        AuthError: a file can't be used, or there is none and not all hosts are this machine's loopback.
    """
    if cert and key and authority:
        return Certificates(*(Path(file).expanduser().absolute() for file in (cert, key, authority)))
    if secret_file:
        return SharedSecret(Path(secret_file).expanduser().absolute())
    exposed = [host for host in hosts if not is_loopback(host)]
    if exposed:
        raise AuthError(
            f"anybody who reaches {exposed[0]} could pass for a node: configure certificates for the "
            "peers, or a peer_secret_file"
        )
    return Open()


def proof(secret: bytes | None, role: bytes, transcript: bytes) -> bytes:
    """What only those who know the secret can say about the handshake up to here.

    Args:
        secret: of the cluster; None proves nothing.
        role: :data:`DIALLER` or :data:`ANSWERER`.
        transcript: the bodies of HELLO and WELCOME.
    """
    return b"" if secret is None else hmac.digest(secret, b"proof of the " + role + transcript, "sha256")


def check_proof(secret: bytes | None, role: bytes, transcript: bytes, given: bytes) -> None:
    """Raises Refused unless ``given`` is the proof of that role."""
    if not hmac.compare_digest(proof(secret, role, transcript), given):
        raise Refused("secret", "it has another secret: give all nodes the same peer_secret_file")


def session(secret: bytes | None, transcript: bytes) -> Session | None:
    """The keys of a connection, new for each; None without a secret."""
    if secret is None:
        return None
    return Session(
        *(hmac.digest(secret, b"key of the " + role + transcript, "sha256") for role in (DIALLER, ANSWERER))
    )


class Sealer:
    """Makes the MACs of one direction of a connection: each frame's place in it is part of its MAC.

    Args:
        key: of the direction.
        size: bytes of a MAC.
    """

    def __init__(self, key: bytes, size: int) -> None:
        self._base = hmac.new(key, digestmod=hashlib.sha256)
        self._size = size
        self._number = 0

    def seal(self, *parts: bytes) -> bytes:
        """The MAC of the next frame."""
        mac = self._base.copy()
        mac.update(self._number.to_bytes(8, "big"))
        self._number += 1
        for part in parts:
            mac.update(part)
        return mac.digest()[: self._size]


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError as error:
        raise AuthError(f"{file} cannot be read: {error.strerror}") from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _check_private(file: Path) -> None:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        raise AuthError(f"{file} cannot be read: {error.strerror}") from error
    if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        raise AuthError(
            f"{file} can be read or changed by others (mode {mode:04o}): chmod 600 it, and replace what it "
            "holds if they may have seen it"
        )


def _read_secret(file: Path) -> bytes:
    _check_private(file)
    try:
        with file.open("rb") as stream:
            secret = stream.read(SECRET_BYTES_MAX + 1).strip()
    except OSError as error:
        raise AuthError(f"{file} cannot be read: {os.strerror(error.errno or 0)}") from error
    if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise AuthError(
            f"{file} must hold a secret of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, such as what "
            "openssl rand -hex 32 prints"
        )
    return secret


def _context(cert: Path, key: Path, authority: Path, *, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Nodes are known by their names, not by their hosts: check_certificate() compares those.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority)
    context.load_cert_chain(cert, key)
    return context
