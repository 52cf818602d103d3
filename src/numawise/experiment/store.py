"""Every run of every study, in one SQLite file, on disk the moment it ends."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from numawise.errors import NumawiseError, SnapshotError, UsageError
from numawise.experiment.database import connect, explained, transaction
from numawise.experiment.records import Outcome, Study, Trial, VerdictKind
from numawise.linux.home import ensure_folder, file_error, home
from numawise.machine.codec import from_json, to_json


def new_id(created: float) -> str:
    """An id for a study begun at `created` (Unix time): sorts by time, unique by its random end."""
    return time.strftime("%y%m%d-%H%M%S-", time.localtime(created)) + os.urandom(2).hex()


class Summary(msgspec.Struct, frozen=True):
    """One line of the list of runs."""

    id: str
    kind: str
    command: tuple[str, ...]
    created: float
    trials: int
    finished: bool
    verdict: VerdictKind | None = None
    best: str = ""


class Store:
    """The runs kept on this machine. Use as a context manager, or call `close`.

    Every method that writes returns only when what it wrote would survive a kill or a power cut, and raises
    NumawiseError (full disk, read-only, locked) with nothing half-written: what was stored stays readable.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    @classmethod
    def open(cls, path: Path | None = None, *, timeout_s: float = 10.0) -> Store:
        """Open the store, making it (0600, its folder 0700) when it is new.

        Args:
            path: the database file; `runs.sqlite` in numawise's home unless given.
            timeout_s: how long to wait, here and later, while another numawise writes.

        Raises SnapshotError when the file is from a newer numawise or is no store, NumawiseError when it
        cannot be opened.
        """
        path = path or home() / "runs.sqlite"
        return cls(connect(path, timeout_s), path)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Writing

    def create(self, study: Study) -> None:
        """Keep a new study. Raises UsageError when its id is taken."""
        with self._writing("begin a run in"):
            try:
                self._connection.execute(
                    "INSERT INTO study(id, kind, command, created, value) VALUES (?, ?, ?, ?, ?)",
                    (study.id, study.kind, _text(study.command), study.created, _text(study)),
                )
            except sqlite3.IntegrityError:
                raise UsageError(f"run {study.id} is already in {self.path}") from None

    def add_trial(self, study_id: str, trial: Trial) -> None:
        """Keep a trial that ended. Raises NumawiseError when its number is taken."""
        with self._writing("keep a trial in"):
            try:
                self._connection.execute(
                    "INSERT INTO trial VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        study_id,
                        trial.number,
                        trial.candidate,
                        trial.phase,
                        trial.status,
                        trial.value,
                        _text(trial),
                    ),
                )
            except sqlite3.IntegrityError:
                raise self._refused(study_id, trial.number) from None

    def finish(self, study_id: str, outcome: Outcome) -> None:
        """Keep how the study ended; `unfinished` no longer finds it."""
        with self._writing("keep the outcome in"):
            done = self._connection.execute(
                "UPDATE study SET outcome = ?, finished = ? WHERE id = ?",
                (_text(outcome), time.time(), study_id),
            )
            if done.rowcount == 0:
                raise self._unknown(study_id)

    # Reading

    def study(self, study_id: str) -> Study:
        """The study of this id; the beginning of an id is enough when only one fits. Raises UsageError."""
        with explained(self.path, "read"):
            pattern = "".join("\\" + c if c in "%_\\" else c for c in study_id) + "%"
            rows = self._connection.execute(
                "SELECT id, value FROM study WHERE id LIKE ? ESCAPE '\\' ORDER BY id", (pattern,)
            ).fetchall()
        exact = [row for row in rows if row[0] == study_id] or rows
        if not exact or not study_id:
            raise self._unknown(study_id)
        if len(exact) > 1:
            raise UsageError(f"{study_id!r} fits {len(exact)} runs: {', '.join(row[0] for row in exact[:5])}")
        return from_json(exact[0][1], Study, source=f"{self.path}, run {exact[0][0]}")

    def trials(self, study_id: str) -> tuple[Trial, ...]:
        """Every trial kept of this study, by number."""
        rows = self._rows("SELECT value FROM trial WHERE study = ? ORDER BY number", (study_id,))
        source = f"{self.path}, trial of run {study_id}"
        return tuple(from_json(value, Trial, source=source) for (value,) in rows)

    def outcome(self, study_id: str) -> Outcome | None:
        """How the study ended; None while it has not."""
        rows = self._rows("SELECT outcome FROM study WHERE id = ?", (study_id,))
        if not rows:
            raise self._unknown(study_id)
        return _read_outcome(rows[0][0], f"{self.path}, outcome of run {study_id}") if rows[0][0] else None

    def list(self) -> tuple[Summary, ...]:
        """All studies, the newest first."""
        rows = self._rows(
            "SELECT id, kind, command, created, outcome, (SELECT count(*) FROM trial WHERE study = study.id)"
            " FROM study ORDER BY created DESC, id DESC",
            (),
        )
        summaries = []
        for study_id, kind, command, created, raw, trials in rows:
            source = f"{self.path}, run {study_id}"
            outcome = _read_outcome(raw, source) if raw else None
            summaries.append(
                Summary(
                    id=study_id,
                    kind=kind,
                    command=from_json(command, tuple[str, ...], source=source),
                    created=created,
                    trials=trials,
                    finished=outcome is not None,
                    verdict=outcome.verdict.kind if outcome else None,
                    best=outcome.best if outcome else "",
                )
            )
        return tuple(summaries)

    def unfinished(
        self, *, kind: str | None = None, command: tuple[str, ...] | None = None
    ) -> tuple[Study, ...]:
        """The studies with no outcome, the newest first: what `--resume` goes on with.

        Args:
            kind: only `tune` or only `compare`.
            command: only studies of exactly this command.
        """
        rows = self._rows(
            "SELECT id, value FROM study WHERE outcome IS NULL AND kind = coalesce(?, kind)"
            " AND command = coalesce(?, command) ORDER BY created DESC, id DESC",
            (kind, None if command is None else _text(command)),
        )
        return tuple(
            from_json(value, Study, source=f"{self.path}, run {study_id}") for study_id, value in rows
        )

    @contextlib.contextmanager
    def claim(self, study_id: str) -> Iterator[None]:
        """Hold a study while working on it: a second numawise that went on with it would end its processes.

        The kernel lets go of the claim when this process dies, however it dies. Raises UsageError when
        another process holds it. A POSIX record lock (fcntl(2)) is not inherited by children, and works on
        network file systems.
        """
        folder = ensure_folder(self.path.parent / "claims")
        path = folder / f"{study_id}.lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise file_error("make", path, error) from None
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink == 0:  # its holder let go, and removed it, after we had opened it
                raise BlockingIOError
        except OSError:
            os.close(handle)
            raise UsageError(
                f"another numawise is at work on run {study_id}; wait for it, or start without --resume"
            ) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(handle)

    # The rest

    def _writing(self, action: str) -> contextlib.AbstractContextManager[None]:
        return transaction(self._connection, self.path, action)

    def _rows(self, query: str, arguments: tuple[object, ...]) -> tuple[Any, ...]:
        with explained(self.path, "read"):
            return tuple(self._connection.execute(query, arguments))

    def _unknown(self, study_id: str) -> UsageError:
        return UsageError(f"no run {study_id!r} in {self.path}; `numawise report --list` shows those kept")

    def _refused(self, study_id: str, number: int) -> NumawiseError:
        known = self._connection.execute("SELECT 1 FROM study WHERE id = ?", (study_id,)).fetchone()
        if not known:
            return self._unknown(study_id)
        return NumawiseError(
            f"trial {number} of run {study_id} is already in {self.path}: "
            "another numawise is at work on this run; wait for it, or start without --resume"
        )


def _text(value: object) -> str:
    return to_json(value).decode()


def _read_outcome(raw: str, source: str) -> Outcome:
    """JSON has no infinity: an interval not bounded yet is null there, and comes back as 0 to infinity."""
    loose = from_json(raw, dict[str, Any], source=source)
    verdict = loose.get("verdict")
    if isinstance(verdict, dict):
        unbounded = {"ratio": math.nan, "low": 0.0, "high": math.inf}
        loose["verdict"] = {**verdict, **{k: v for k, v in unbounded.items() if verdict.get(k, v) is None}}
    try:
        return msgspec.convert(loose, Outcome)
    except msgspec.ValidationError as error:
        raise SnapshotError(f"{source}: {error}") from None
