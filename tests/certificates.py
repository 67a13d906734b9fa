"""Certificates of nodes, for the tests of what they prove by them."""

from pathlib import Path

import trustme


def write_certificate(own: Path, authority: trustme.CA, name: str) -> None:
    """Writes a node's certificate, its key and the authority's certificate, as the node wants them.

    Args:
        own: the folder; it gets ``cert.pem``, ``key.pem`` and ``ca.pem``.
        authority: signs it.
        name: of the node.
    """
    issued = authority.issue_cert(name)
    issued.cert_chain_pems[0].write_to_path(own / "cert.pem")
    issued.private_key_pem.write_to_path(own / "key.pem")
    (own / "key.pem").chmod(0o600)
    authority.cert_pem.write_to_path(own / "ca.pem")
