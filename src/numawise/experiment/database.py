"""The SQLite file under the store: its tables, its durability, and its errors in words.

Why a rollback journal and `synchronous=EXTRA`, not the usual write-ahead log: home directories of the
machines that need numawise are often on a network file system, where the log's shared memory does not work; a
full disk leaves a rollback database readable; and EXTRA also syncs the folder, so that a commit is still
there after a power cut (https://www.sqlite.org/pragma.html#pragma_synchronous). A commit costs a few ms, a
trial costs seconds.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from numawise.errors import NumawiseError, SnapshotError
from numawise.linux.home import ensure_folder, file_error

SCHEMA_VERSION = 1
_SCHEMA = (
    """CREATE TABLE study (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, command TEXT NOT NULL, created REAL NOT NULL,
        value TEXT NOT NULL, outcome TEXT, finished REAL
    ) WITHOUT ROWID""",
    """CREATE TABLE trial (
        study TEXT NOT NULL REFERENCES study(id), number INTEGER NOT NULL, candidate TEXT NOT NULL,
        phase TEXT NOT NULL, status TEXT NOT NULL, metric REAL, value TEXT NOT NULL,
        PRIMARY KEY (study, number)
    ) WITHOUT ROWID""",
    "CREATE INDEX study_by_time ON study(created)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """Open the database, making it (0600, its folder 0700) when it is new.

    Raises SnapshotError when the file is from a newer numawise or is no database, NumawiseError when it
    cannot be opened.
    """
    ensure_folder(path.parent)
    try:
        # SQLite would make it with the umask's mode, and says only "unable to open" when it cannot.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if not os.access(path, os.R_OK):
            raise file_error("open", path, error) from None
    with explained(path, "open"):
        connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous=EXTRA")
            connection.execute("PRAGMA foreign_keys=ON")
            _check_version(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, path: Path, action: str) -> Iterator[None]:
    """All of the block, on disk when this returns, or nothing of it. Errors as `explained` says."""
    with explained(path, action):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # on a full disk SQLite has rolled back by itself
                connection.execute("ROLLBACK")
            raise


@contextlib.contextmanager
def explained(path: Path, action: str) -> Iterator[None]:
    """Turn SQLite's errors into the one line that says what was tried, where, and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(path, action, str(error)) from None


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a newer file, lay the tables in a new one."""
    if _version(connection) == 0:
        with transaction(connection, path, "lay the tables in"):
            if _version(connection) == 0:  # still: another process may have been first
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    raise sqlite3.DatabaseError("no such table: study")
                for statement in _SCHEMA:
                    connection.execute(statement)
    if (version := _version(connection)) > SCHEMA_VERSION:
        raise SnapshotError(
            f"{path} has version {version}, of a newer numawise (this one reads up to {SCHEMA_VERSION}): "
            "install that one, or set NUMAWISE_HOME to another folder"
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _explain(path: Path, action: str, answer: str) -> NumawiseError:
    # Python 3.10 gives SQLite's error as text only; the texts are fixed in SQLite's sqlite3ErrStr.
    elsewhere = "or set NUMAWISE_HOME to another folder"
    for text, kind, advice in (
        ("full", NumawiseError, f"what was kept before is safe; make room there, {elsewhere}"),
        (
            "disk I/O error",
            NumawiseError,
            f"what was kept before is safe; see to that disk or its quota, {elsewhere}",
        ),
        ("readonly", NumawiseError, f"make it writable, {elsewhere}"),
        (
            "locked",
            NumawiseError,
            f"another numawise is writing to it and did not finish: wait for it, {elsewhere}",
        ),
        ("unable to open", NumawiseError, f"check who may read and write there, {elsewhere}"),
        ("not a database", SnapshotError, f"move that file away, {elsewhere}"),
        ("malformed", SnapshotError, f"the file is damaged: move it away, {elsewhere}"),
        ("no such table", SnapshotError, f"it is some other program's database: move it away, {elsewhere}"),
    ):
        if text in answer:
            return kind(f"could not {action} {path}: {answer}; {advice}")
    return NumawiseError(f"could not {action} {path}: {answer}; check that folder, {elsewhere}")
