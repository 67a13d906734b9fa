"""A real SFTP server on loopback for one folder, as an archive that can be away and come back.

``python -m tests.sftp_server FOLDER PORT`` is its process.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import asyncssh

USER = "tester"


class SftpServer:
    """Does not run before :meth:`start`.

    Args:
        folder: for its keys and, below ``files``, what clients write.
        port: of loopback.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        (folder / "files").mkdir(parents=True)
        for name in ("host", "client"):
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(folder / name)
            key.write_public_key(folder / f"{name}.pub")

    @property
    def url(self) -> str:
        """As the key ``archive`` takes it."""
        return f"sftp://{USER}@127.0.0.1:{self._port}/queue"

    def credentials(self) -> Path:
        """A file for the key ``archive_credentials_file``."""
        file = self._folder / "credentials.toml"
        file.touch(mode=0o600)
        host_key = (self._folder / "host.pub").read_text().strip()
        file.write_text(f'key-path = "{self._folder / "client"}"\nhost-key = "{host_key}"\n')
        return file

    def start(self) -> None:
        """Returns when it takes connections."""
        command = [sys.executable, "-m", "tests.sftp_server", str(self._folder), str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listening\n"

    def stop(self) -> None:
        """Ends it, if it runs, with all its connections."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


async def serve(folder: Path, port: int) -> None:
    """Serves until the process is ended."""
    files = str(folder / "files").encode()
    await asyncssh.listen(
        "127.0.0.1",
        port,
        server_host_keys=[str(folder / "host")],
        authorized_client_keys=str(folder / "client.pub"),
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=files),
    )
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
