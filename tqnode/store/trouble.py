"""Says for people why a database can't be opened."""

from pathlib import Path

import apsw


def explain(file: Path, error: Exception) -> str:
    """What is wrong, and what to do.

    Args:
        file: the database.
        error: what opening it raised.
    """
    match error:
        case apsw.FullError():
            return f"no space is left for {file}; make room, or set data_dir to a folder on another disk"
        case apsw.NotADBError() | apsw.CorruptError():
            return f"{file} is damaged or no database ({error}); move it away and put a backup in its place"
        case apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.AuthError():
            return f"{file} cannot be written ({error}); run tqnode as the user that owns it"
        case apsw.BusyError() | apsw.LockedError():
            return f"another program uses {file}; stop it"
        case apsw.IOError():
            return f"the disk failed on {file} ({error}); check the disk before you start again"
        case _:
            return f"{file} cannot be opened: {error}"
