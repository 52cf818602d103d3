"""What the store promises: a trial kept is kept, once, whatever happens to process, disk or file."""

from __future__ import annotations

import json
import math
import os
import random
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from numawise.errors import NumawiseError, SnapshotError, UsageError
from numawise.experiment.records import Candidate, Outcome, Study, Trial, Verdict
from numawise.experiment.store import Store, new_id
from numawise.linux.cpuset import CPUSet
from numawise.linux.files import write_file
from numawise.linux.home import home
from numawise.machine.topology import Allowed, Node, Topology
from numawise.placement.values import MemoryPolicy, Placement, Plan

PLAN = Plan((Placement(rank=0, cpus=CPUSet([0, 1]), memory=MemoryPolicy("bind", (0,))),))
TOPOLOGY = Topology(
    cpus=CPUSet([0, 1]),
    cores=2,
    nodes=(Node(id=0, cpus=CPUSet([0, 1]), memory_kib=1 << 20, kind="dram"),),
    distances={0: {0: 10}},
    allowed=Allowed(cpus=CPUSet([0, 1]), nodes=(0,)),
)


def a_study(study_id: str = "one", **changes: object) -> Study:
    values: dict[str, object] = {
        "id": study_id,
        "kind": "tune",
        "command": ("true", "--flag"),
        "candidates": (Candidate("default", PLAN), Candidate("bind:0", PLAN, policy="bind:0", workers=1)),
        "default": "default",
        "topology": TOPOLOGY,
        "seed": 1,
        "budget": 10,
        "created": 1000.0,
    }
    return Study(**(values | changes))  # type: ignore[arg-type]


def a_trial(number: int, **changes: object) -> Trial:
    values: dict[str, object] = {
        "number": number,
        "candidate": "default",
        "phase": "race",
        "status": "ok",
        "value": 0.1 + 0.2,
        "seconds": 1.5,
        "started": 1000.5,
        "residency": {0: 0.75, 8: 0.25},
        "cpus_used": CPUSet([0, 1]),
    }
    return Trial(**(values | changes))  # type: ignore[arg-type]


AN_OUTCOME = Outcome(
    best="default",
    verdict=Verdict("equivalent", 1.0, 0.99, 1.01, 8),
    winner="bind:0",
    trials=2,
    failed={"x": "y"},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "runs.sqlite"


def test_what_went_in_comes_out_of_a_second_store(path: Path) -> None:
    with Store.open(path) as store:
        store.create(a_study())
        store.add_trial("one", a_trial(0))
        store.add_trial("one", a_trial(1, status="failed", value=None, tail="out of memory\n", exit_code=137))
        assert store.outcome("one") is None
        store.finish("one", AN_OUTCOME)
    with Store.open(path) as store:
        assert store.study("one") == a_study()
        assert store.trials("one") == (
            a_trial(0),
            a_trial(1, status="failed", value=None, tail="out of memory\n", exit_code=137),
        )
        assert store.outcome("one") == AN_OUTCOME


def test_only_the_owner_may_read_it(path: Path) -> None:
    old = os.umask(0)
    try:
        Store.open(path).close()
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_unbounded_interval_comes_back_unbounded(path: Path) -> None:
    verdict = Verdict("not-delivered", math.nan, 0.0, math.inf, 3, "asked node 1, saw node 0")
    with Store.open(path) as store:
        store.create(a_study())
        store.finish("one", Outcome(best="default", verdict=verdict, winner="bind:0", trials=0))
        back = store.outcome("one")
    assert back is not None
    assert math.isnan(back.verdict.ratio)
    assert (back.verdict.low, back.verdict.high) == (0.0, math.inf)


def test_a_trial_cannot_be_kept_twice(path: Path) -> None:
    with Store.open(path) as store:
        store.create(a_study())
        store.add_trial("one", a_trial(0))
        with pytest.raises(NumawiseError, match="trial 0 of run one is already in"):
            store.add_trial("one", a_trial(0, value=9.0))
        assert store.trials("one") == (a_trial(0),)


def test_a_study_cannot_be_begun_twice_and_a_trial_needs_its_study(path: Path) -> None:
    with Store.open(path) as store:
        store.create(a_study())
        with pytest.raises(UsageError, match="run one is already in"):
            store.create(a_study())
        for act in (
            lambda: store.add_trial("two", a_trial(0)),
            lambda: store.finish("two", AN_OUTCOME),
            lambda: store.outcome("two"),
            lambda: store.study("two"),
            lambda: store.study(""),
        ):
            with pytest.raises(UsageError, match="no run"):
                act()


def test_unfinished_finds_what_resume_goes_on_with(path: Path) -> None:
    with Store.open(path) as store:
        store.create(a_study("old", created=1.0))
        store.create(a_study("new", created=2.0))
        store.create(a_study("other", command=("false",), created=3.0))
        store.create(a_study("pairs", kind="compare", created=4.0))
        store.create(a_study("done", created=5.0))
        store.finish("done", AN_OUTCOME)
        found = store.unfinished(kind="tune", command=("true", "--flag"))
        assert [study.id for study in found] == ["new", "old"]
        assert [study.id for study in store.unfinished()] == ["pairs", "other", "new", "old"]


def test_the_list_is_newest_first_and_an_id_may_be_shortened(path: Path) -> None:
    with Store.open(path) as store:
        store.create(a_study("25-a", created=1.0))
        store.create(a_study("25-b", created=2.0))
        store.add_trial("25-b", a_trial(0))
        store.finish("25-b", AN_OUTCOME)
        newest, oldest = store.list()
        assert (newest.id, newest.trials, newest.finished, newest.verdict) == ("25-b", 1, True, "equivalent")
        assert (oldest.id, oldest.trials, oldest.finished, oldest.verdict) == ("25-a", 0, False, None)
        assert store.study("25-b").id == "25-b"
        with pytest.raises(UsageError, match="fits 2 runs: 25-a, 25-b"):
            store.study("25")
        with pytest.raises(UsageError, match="no run '%'"):
            store.study("%")


def test_ids_sort_by_time_and_differ() -> None:
    assert new_id(1_700_000_000) < new_id(1_800_000_000)
    assert len({new_id(1_700_000_000) for _ in range(20)}) > 15


def test_a_store_of_a_newer_numawise_is_refused(path: Path) -> None:
    Store.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SnapshotError, match=r"runs\.sqlite has version 99, of a newer numawise"):
        Store.open(path)


@pytest.mark.parametrize(
    "content", [b"this is not a database, it is a letter" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_file_that_is_no_store_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(NumawiseError, match=r"move (that file|it) away"):
        Store.open(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cookies(x)")
    connection.close()
    with pytest.raises(SnapshotError, match="some other program's database"):
        Store.open(path)


def test_a_torn_file_is_named(path: Path) -> None:
    with Store.open(path) as store:
        store.create(a_study())
        for number in range(200):
            store.add_trial("one", a_trial(number, tail="x" * 500))
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(SnapshotError, match="damaged"), Store.open(path) as store:
        store.trials("one")


def test_a_lock_that_is_not_let_go_gets_a_line_and_a_reader_waits(path: Path) -> None:
    with Store.open(path) as store:
        store.create(a_study())
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with Store.open(path, timeout_s=0.1) as store:
        assert store.study("one").id == "one"
        with pytest.raises(NumawiseError, match="another numawise is writing to it"):
            store.add_trial("one", a_trial(0))
        holder.execute("ROLLBACK")
        store.add_trial("one", a_trial(0))
        assert len(store.trials("one")) == 1
    holder.close()


def test_a_claim_is_held_against_another_process_and_dies_with_its_holder(path: Path) -> None:
    program = (
        "import sys,time\nfrom pathlib import Path\nfrom numawise.experiment.store import Store\n"
        f"with Store.open(Path({str(path)!r})).claim('one'):\n    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with Store.open(path) as store:
            with (
                pytest.raises(UsageError, match="another numawise is at work on run one"),
                store.claim("one"),
            ):
                pass
            with store.claim("two"):
                pass
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            with store.claim("one"):
                pass


# Full disks and folders that are not there


WRITER_ON_A_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_store import a_study, a_trial
from numawise.errors import NumawiseError
from numawise.experiment.store import Store
path = Path({path!r})
limit = {limit}
store = Store.open(path)
store.create(a_study())
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
kept = 0
try:
    for number in range(20000):
        store.add_trial("one", a_trial(number, tail="x" * 2000))
        kept += 1
except NumawiseError as error:
    print(error)
assert [t.number for t in store.trials("one")] == list(range(kept)), "what was kept is still readable"
with Store.open(path) as again:
    assert len(again.trials("one")) == kept, "by another store too"
print(kept)
"""


def _write_until_full(path: Path, limit: int) -> tuple[str, int]:
    program = WRITER_ON_A_FULL_DISK.format(here=str(Path(__file__).parent), path=str(path), limit=limit)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    message, kept = done.stdout.splitlines()
    return message, int(kept)


def test_a_file_that_may_not_grow_stops_with_a_line_and_keeps_what_was_there(path: Path) -> None:
    message, kept = _write_until_full(path, limit=300_000)
    assert kept > 20
    assert f"could not keep a trial in {path}: " in message
    assert "what was kept before is safe" in message
    assert "NUMAWISE_HOME" in message


def test_a_full_disk_stops_with_a_line_and_keeps_what_was_there(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs a right to mount a small disk: {mounted.stderr.decode().strip()}")
    try:
        message, kept = _write_until_full(disk / "runs.sqlite", limit=0)
        assert kept > 20
        assert "database or disk is full; what was kept before is safe; make room there" in message
        with pytest.raises(NumawiseError, match="make room there"):
            write_file(disk / "report.html", b"x" * 500_000)
        assert not list(disk.glob(".report*")), "no half-written file is left"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NumawiseError, match=r"could not make the folder .*ENOTDIR.*set NUMAWISE_HOME"):
        Store.open(tmp_path / "file" / "deeper" / "runs.sqlite")


def test_home_follows_the_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMAWISE_HOME", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert home() == tmp_path / "own"
    monkeypatch.delenv("NUMAWISE_HOME")
    assert home() == tmp_path / "data" / "numawise"
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    assert home() == tmp_path / "me" / ".local" / "share" / "numawise"


def test_no_home_directory_gets_a_line() -> None:
    program = (
        "import os\n"
        "from numawise.linux.home import home\n"
        "from numawise.errors import NumawiseError\n"
        "os.environ.clear(); os.setuid(54321)\n"
        "try: print(home())\nexcept NumawiseError as error: print(error)"
    )
    if os.geteuid() != 0:
        pytest.skip("needs root, to become a user without an entry in passwd")
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": "/bin"},
    )
    assert "no home directory to keep runs in" in done.stdout, done.stderr
    assert "NUMAWISE_HOME" in done.stdout


def test_a_read_only_store_can_be_read_but_not_written() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become a user who may not write")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        _read_as_another_user(Path(folder) / "runs.sqlite")


def _read_as_another_user(path: Path) -> None:
    with Store.open(path) as store:
        store.create(a_study())
    program = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_store import a_trial
from numawise.errors import NumawiseError
from numawise.experiment.store import Store
os.setuid(54321)
with Store.open(Path({str(path)!r})) as store:
    print(store.study("one").id)
    try:
        store.add_trial("one", a_trial(0))
    except NumawiseError as error:
        print(error)
"""
    path.parent.chmod(0o755)
    path.chmod(0o644)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("one\n"), done.stderr
    assert "readonly" in done.stdout
    assert "make it writable" in done.stdout


# Kills and company


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_store import a_study, a_trial
from numawise.errors import UsageError
from numawise.experiment.store import Store
with Store.open(Path({path!r})) as store:
    kept = store.trials({study!r})
    for number in range(len(kept), {until}):
        store.add_trial({study!r}, a_trial(number, tail="x" * 3000))
        print(number, flush=True)
"""


def _writer(path: Path, study: str, until: int) -> list[str]:
    here = str(Path(__file__).parent)
    return [sys.executable, "-c", WRITER.format(here=here, path=str(path), study=study, until=until)]


def test_killed_at_twenty_instants_nothing_is_lost_and_nothing_doubled(path: Path) -> None:
    chance = random.Random(11)
    with Store.open(path) as store:
        store.create(a_study())
    said: list[int] = []
    for _ in range(20):
        with subprocess.Popen(_writer(path, "one", 10**6), stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            said.append(int(writer.stdout.readline()))  # it is past its start and in the middle of writing
            time.sleep(chance.uniform(0, 0.03))
            writer.send_signal(signal.SIGKILL)
            said += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
        with Store.open(path) as store:
            kept = [trial.number for trial in store.trials("one")]
        assert kept == list(range(len(kept))), "none lost, none doubled, none out of order"
        assert set(said) <= set(kept), "what it said was kept is kept"
        assert len(kept) - len(said) <= 20, "at most one a kill was kept before it could say so"
    assert len(kept) >= 20


def test_two_processes_write_at_once(path: Path) -> None:
    with Store.open(path) as store:
        store.create(a_study("a"))
        store.create(a_study("b"))
    writers = [subprocess.Popen(_writer(path, study, 60), stdout=subprocess.DEVNULL) for study in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    with Store.open(path) as store:
        for study in "ab":
            assert [trial.number for trial in store.trials(study)] == list(range(60))


def test_two_processes_may_make_the_store_at_once(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom numawise.experiment.store import Store\n"
        "sys.stdin.read()\n"
        f"Store.open(Path({str(tmp_path / 'new' / 'runs.sqlite')!r})).close()"
    )
    makers = [subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) for _ in range(4)]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.close()
    assert [maker.wait() for maker in makers] == [0] * 4


def test_the_json_in_the_file_is_the_public_form(path: Path) -> None:
    with Store.open(path) as store:
        store.create(a_study())
        store.add_trial("one", a_trial(0))
    connection = sqlite3.connect(path)
    ((raw,),) = connection.execute("SELECT value FROM trial")
    connection.close()
    assert json.loads(raw)["residency"] == {"0": 0.75, "8": 0.25}
    assert json.loads(raw)["cpus_used"] == "0-1"


def test_a_file_is_replaced_whole_and_a_device_is_written_to(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    link = tmp_path / "link.html"
    link.symlink_to(target)
    write_file(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    write_file(Path("/dev/null"), b"gone")
    reading, writing = os.pipe()
    write_file(f"/dev/fd/{writing}", b"through")
    assert os.read(reading, 100) == b"through"
    os.close(reading)
    os.close(writing)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(NumawiseError, match=r"could not write .*report\.html: EFBIG.*make room"):
            write_file(target, b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert target.read_bytes() == b"new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.html", "report.html"]
