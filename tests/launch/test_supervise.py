"""Launching real processes: placed before exec, signals passed on, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from numawise.errors import NotPermittedError, UsageError
from numawise.launch.output import Kept
from numawise.launch.supervise import supervise
from numawise.launch.values import LaunchEnd
from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.placement.plan import plan
from numawise.placement.request import Request
from numawise.placement.values import MemoryPolicy, Placement, Plan

TOPOLOGY = read("/", devices=False)
CPUS = TOPOLOGY.allowed.cpus


def launch(
    code: str, *, processes: int = 1, placement: Placement | None = None, **options: object
) -> tuple[LaunchEnd, Kept]:
    kept = Kept()
    first = placement or Placement(rank=0, cpus=CPUS)
    placements = tuple(
        Placement(
            rank=rank, cpus=first.cpus, memory=first.memory, thp=first.thp, env=first.env, workers=processes
        )
        for rank in range(processes)
    )
    command = [sys.executable, "-S", "-c", textwrap.dedent(code), "{rank}"]
    end = supervise(Plan(placements), command, TOPOLOGY, sink=kept, **options)  # type: ignore[arg-type]
    return end, kept


def wait_for(condition: Callable[[], bool], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def living(marker: str) -> list[int]:
    """Processes whose command line holds `marker`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if marker.encode() in line and state != "Z":
                found.append(int(entry.name))
    return found


def test_affinity_policy_and_environment_are_set_before_exec() -> None:
    last = CPUSet([max(CPUS)])
    end, kept = launch(
        """
        import os
        print(sorted(os.sched_getaffinity(0)), os.environ["COLOUR"])
        print(open("/proc/self/numa_maps").readline().split()[1])
        """,
        placement=Placement(
            rank=0, cpus=last, memory=MemoryPolicy("bind", (TOPOLOGY.nodes[0].id,)), env={"COLOUR": "red"}
        ),
    )
    assert end.exit_code == 0
    assert kept.text(0, 1).splitlines() == [f"[{max(CPUS)}] red", f"bind:{TOPOLOGY.nodes[0].id}"]


@pytest.mark.parametrize(
    ("mode", "seen"), [("interleave", "interleave:"), ("preferred", "prefer"), ("local", "local")]
)
def test_policies_reach_the_program(mode: str, seen: str) -> None:
    nodes = () if mode == "local" else (TOPOLOGY.nodes[0].id,)
    _, kept = launch(
        "print(open('/proc/self/numa_maps').readline().split()[1])",
        placement=Placement(rank=0, cpus=CPUS, memory=MemoryPolicy(mode, nodes)),  # type: ignore[arg-type]
    )
    assert kept.text(0, 1).startswith(seen)


def test_huge_pages_can_be_switched_off() -> None:
    code = "print([l for l in open('/proc/self/status') if 'THP' in l])"
    _, on = launch(code)
    _, off = launch(code, placement=Placement(rank=0, cpus=CPUS, thp="never"))
    assert "1" in on.text(0, 1)
    assert "0" in off.text(0, 1)


def test_exit_codes_and_signals_are_passed_on() -> None:
    assert launch("raise SystemExit(7)")[0].exit_code == 7
    assert launch("import os; os.kill(os.getpid(), 9)")[0].exit_code == 128 + 9


def test_a_failing_process_stops_the_others() -> None:
    code = """
        import sys, time
        if sys.argv[1] == "1": raise SystemExit(5)
        time.sleep(60)
    """
    began = time.monotonic()
    end, _ = launch(code, processes=3)
    assert end.exit_code == 5
    assert time.monotonic() - began < 30
    assert [e.exit_code for e in end.ends] == [128 + 15, 5, 128 + 15]


def test_one_that_will_not_stop_is_killed_after_the_grace() -> None:
    code = """
        import signal, sys, time
        if sys.argv[1] == "1":
            time.sleep(0.3); raise SystemExit(5)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    """
    end, _ = launch(code, processes=2, grace_s=0.2)
    assert [e.exit_code for e in end.ends] == [128 + 9, 5]


def test_keep_going_lets_the_others_finish() -> None:
    code = "import sys, time; time.sleep(0.3 if sys.argv[1] == '0' else 0); print('done'); sys.exit(int(sys.argv[1]))"
    end, kept = launch(code, processes=2, keep_going=True)
    assert [e.exit_code for e in end.ends] == [0, 1]
    assert kept.text(0, 1) == "done\n"


def test_a_time_limit_ends_the_whole_tree() -> None:
    marker = f"marker-{os.getpid()}-limit"
    code = f"""
        import subprocess, sys
        subprocess.Popen(["sleep", "600.{os.getpid()}"])
        subprocess.run([sys.executable, "-S", "-c", "import time; time.sleep(600)", "{marker}"])
    """
    end, _ = launch(code, timeout_s=0.5, disposable=True)
    assert end.timed_out
    assert not living(marker)
    assert not living(f"600.{os.getpid()}")


def test_disposable_processes_leave_nothing_in_the_background() -> None:
    marker = f"600.5{os.getpid()}"
    end, _ = launch(f"import subprocess; subprocess.Popen(['setsid', 'sleep', '{marker}'])", disposable=True)
    assert end.exit_code == 0
    assert not living(marker)


def test_output_written_just_before_the_end_is_not_lost() -> None:
    end, kept = launch("import sys; sys.stdout.write('x' * 3_000_000); sys.stderr.write('last words')")
    assert end.exit_code == 0
    assert len(kept.text(0, 1)) == 1 << 20
    assert kept.text(0, 2) == "last words"


def test_looks_happen_while_the_program_lives() -> None:
    seen: list[int] = []
    launch("import time; time.sleep(0.5)", look=lambda processes: seen.append(len(processes)))
    assert 2 <= len(seen) <= 4
    assert set(seen) == {1}


@pytest.mark.parametrize(
    "command", [["/no/such/program"], ["no-such-program-anywhere"], [""], [], ["/etc/passwd"], ["a\0b"]]
)
def test_a_command_that_cannot_be_executed_is_a_usage_error(command: list[str]) -> None:
    with pytest.raises(UsageError):
        supervise(plan(TOPOLOGY, Request()), command, TOPOLOGY)


def test_a_cpu_that_has_gone_is_refused() -> None:
    with pytest.raises(NotPermittedError, match="sched_setaffinity answered EINVAL"):
        supervise(Plan((Placement(rank=0, cpus=CPUSet([4000])),)), ["true"], TOPOLOGY)


def test_a_second_process_that_cannot_start_stops_the_first() -> None:
    marker = f"600.7{os.getpid()}"
    placements = (Placement(rank=0, cpus=CPUS), Placement(rank=1, cpus=CPUSet([4000])))
    with pytest.raises(NotPermittedError):
        supervise(Plan(placements), ["sleep", marker], TOPOLOGY, sink=Kept())
    assert not living(marker)


def run_cli(*words: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "numawise", *words], text=True, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_run_reaches_the_program_and_its_code_comes_back(signum: int, tmp_path: Path) -> None:
    code = f"""
import signal, sys, time
signal.signal({int(signum)}, lambda *_: sys.exit(42))
open({str(tmp_path / "ready")!r}, "w").close()
time.sleep(60)
"""
    process = run_cli("run", "--", sys.executable, "-S", "-c", code)
    wait_for((tmp_path / "ready").exists)
    process.send_signal(signum)
    assert process.wait(20) == 42


def test_killing_run_outright_ends_the_program() -> None:
    marker = f"600.3{os.getpid()}"
    process = run_cli("run", "--", "sleep", marker)
    wait_for(lambda: any(pid != process.pid for pid in living(marker)))
    process.kill()
    process.wait(20)
    wait_for(lambda: not living(marker))


def test_ctrl_c_three_times_ends_a_program_that_will_not(tmp_path: Path) -> None:
    code = f"""
import signal, time
for s in (2, 15): signal.signal(s, signal.SIG_IGN)
open({str(tmp_path)!r} + "/ready{{rank}}", "w").close()
time.sleep(60)
"""
    process = run_cli("run", "--workers", "2", "--threads", "1", "--", sys.executable, "-S", "-c", code)
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert process.wait(20) == 128 + 9
