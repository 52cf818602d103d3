"""Joules of a trial: from counters that a real process counts up, lost half-way, refused, or not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import power_trees
import pytest

from numawise.errors import UsageError
from numawise.experiment.metric import PACKAGE_ENERGY, Metric, NoMetricError, check_metric, read_metric
from numawise.experiment.records import Trial
from numawise.machine.codec import from_json


def test_what_cannot_be_meant_of_energy() -> None:
    for text, maximize, answer in (
        ("energy:package", True, "leave out --maximize"),
        ("energy:dram", False, "of energy there is energy:package"),
        ("energy:", False, "of energy there is energy:package"),
    ):
        with pytest.raises(UsageError, match=answer):
            check_metric(Metric(text, maximize))


def test_a_program_that_prints_its_own_energy_is_still_read() -> None:
    own = Metric(r"energy: (\S+)")
    check_metric(own)
    assert read_metric(own, ["energy: 12.5 J"], 1.0, 99.0) == 12.5
    check_metric(Metric(PACKAGE_ENERGY))
    with pytest.raises(NoMetricError):
        read_metric(Metric(PACKAGE_ENERGY), ["energy: 12.5 J"], 1.0, None)


# A launch adopts and reaps every child of its process, so each is made in a process of its own.
_TRIAL = """
import sys
from numawise.experiment.metric import Metric
from numawise.experiment.records import Candidate
from numawise.experiment.trial import Conditions, run_trial
from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.machine.codec import to_json
from numawise.placement.values import MemoryPolicy, Placement, Plan
root, command, metric = sys.argv[1:]
topology = read("/")
placement = Placement(rank=0, cpus=CPUSet(topology.allowed.cpus), memory=MemoryPolicy("default"))
conditions = Conditions(("sh", "-c", command), Metric(metric), topology, energy_root=root)
trial = run_trial(0, Candidate("default", Plan((placement,))), "pair", conditions)
print(to_json(trial).decode())
"""


def trial(root: Path, command: str, metric: str = "") -> Trial:
    done = subprocess.run(
        [sys.executable, "-c", _TRIAL, str(root), command, metric], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return from_json(done.stdout, Trial, source="a trial")


def test_a_trial_has_the_joules_of_its_time(tmp_path: Path) -> None:
    folder = power_trees.powercap(tmp_path, power_trees.INTEL_TWO_SOCKETS)
    memory = power_trees.drawing(folder, "500000").replace("0 intel-rapl:1", "0:0 intel-rapl:1:0")
    seen = trial(tmp_path, f"{power_trees.drawing(folder, '7000000')}; {memory}")
    assert (seen.status, seen.energy_j, seen.dram_j) == ("ok", 14.0, 1.0)
    assert seen.notes == ()


def test_a_trial_is_read_at_each_look_so_that_going_round_twice_is_seen(tmp_path: Path) -> None:
    highest = 99_999_999_999  # 50 s at most
    counters = {zone: (name, highest - 10, highest) for zone, (name, _, _) in power_trees.AMD.items()}
    folder = power_trees.powercap(tmp_path, counters)
    set_to = (
        "for z in 0 1; do echo {} > "
        + f"{folder}/fresh; mv {folder}/fresh {folder}/intel-rapl:$z/energy_uj; done"
    )
    # Looks are due at 0.05, 0.15, 0.35, 0.75 and 1.5 s.
    seen = trial(
        tmp_path, f"{set_to.format(0)}; sleep 1; {set_to.format(highest)}; sleep 1.2; {set_to.format(5)}"
    )
    assert seen.energy_j == pytest.approx(2 * (11 + highest + 6) / 1e6)


def test_a_trial_can_be_judged_by_its_joules(tmp_path: Path) -> None:
    folder = power_trees.powercap(tmp_path, power_trees.AMD)
    seen = trial(tmp_path, power_trees.drawing(folder, "2500000"), PACKAGE_ENERGY)
    assert (seen.status, seen.value, seen.energy_j) == ("ok", 5.0, 5.0)


def test_where_there_is_no_counter_a_trial_says_nothing(tmp_path: Path) -> None:
    seen = trial(tmp_path, "true")
    assert (seen.status, seen.energy_j, seen.dram_j, seen.notes) == ("ok", None, None, ())


def test_counters_that_vanish_half_way_leave_a_note_and_the_time(tmp_path: Path) -> None:
    folder = power_trees.powercap(tmp_path, power_trees.AMD)
    seen = trial(tmp_path, f"sleep 0.1; rm -r {folder}/intel-rapl:1; sleep 0.2")
    assert (seen.status, seen.energy_j) == ("ok", None)
    assert seen.value is not None
    (note,) = seen.notes
    assert note.startswith("energy not known: /sys/class/powercap/intel-rapl:1/energy_uj answered ENOENT")


def test_judged_by_joules_that_got_lost_a_trial_fails_with_the_reason(tmp_path: Path) -> None:
    power_trees.powercap(tmp_path, power_trees.AMD)
    seen = trial(tmp_path, "true", PACKAGE_ENERGY)
    assert (seen.status, seen.value) == ("no-metric", None)
    assert "package-0's counter did not move" in seen.tail


def numawise(home: Path, *words: str, around: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "numawise", *words]
    if around:
        argv = ["unshare", "-m", "sh", "-c", around + '\nexec "$@"', "sh", *argv]
    env = {**os.environ, "NUMAWISE_HOME": str(home)}
    tests = Path(__file__).parents[1]
    return subprocess.run(argv, env=env, text=True, capture_output=True, timeout=120, cwd=tests)


def test_a_launch_never_loads_what_counts(tmp_path: Path) -> None:
    words = ("-X", "importtime", "-m", "numawise", "run", "--quiet", "--", "true")
    env = {**os.environ, "NUMAWISE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, *words], env=env, text=True, capture_output=True)
    assert done.returncode == 0
    assert "numawise.launch.supervise" in done.stderr
    assert not [name for name in ("energy", "powercap", "perf_events") if f".{name}" in done.stderr]


HERE = Path("/sys/class/powercap"), Path("/sys/bus/event_source/devices/power")
bare = pytest.mark.skipif(any(path.exists() for path in HERE), reason="this machine has energy counters")


@bare
def test_on_a_machine_without_counters_the_reason_is_said_once(tmp_path: Path) -> None:
    words = ("compare", "--arm", "--cpus 0", "--max-pairs", "6", "--html", str(tmp_path / "page.html"))
    done = numawise(tmp_path, *words, "--", "true")
    assert done.stdout.count("energy: unavailable: the kernel shows no /sys/class/powercap (ENOENT)") == 1
    assert (tmp_path / "page.html").read_text().count("no /sys/class/powercap") == 1
    done = numawise(tmp_path, "report", "--json")
    form = json.loads(done.stdout)
    assert form["energy"]["source"] is None
    assert "no /sys/class/powercap" in form["energy"]["unavailable"]
    assert [arm["energy_j"] for arm in form["arms"]] == [None, None]
    assert done.stdout.count("no /sys/class/powercap") == 1


@bare
@pytest.mark.parametrize("words", [("tune",), ("compare", "--arm", "--cpus 0")])
def test_joules_that_cannot_be_counted_are_refused_before_any_trial(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    ran = tmp_path / "ran"
    done = numawise(tmp_path, *words, "--metric", PACKAGE_ENERGY, "--", "touch", str(ran))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "energy cannot be measured here: the kernel shows no /sys/class/powercap" in done.stderr
    assert not ran.exists()


@pytest.fixture
def counters(tmp_path: Path) -> str:
    """What a shell does for a machine with counters: a file system of our own over /sys/class."""
    power_trees.powercap(tmp_path, power_trees.AMD)
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/sys/class"]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("no mount namespace of our own here")
    return f"mount -t tmpfs none /sys/class && cp -r {tmp_path}/sys/class/powercap /sys/class/ || exit 99"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two arms need two CPUs")
def test_compare_shows_joules_beside_the_times_and_can_judge_by_them(tmp_path: Path, counters: str) -> None:
    first, second = sorted(os.sched_getaffinity(0))[:2]
    # The second arm draws half as much, and both a little more or less from run to run.
    draw = power_trees.drawing(Path("/sys/class/powercap"), "j + $$ % 97 * 1000")
    script = f'j=8000000; case "$(taskset -cp $$)" in *" {second}") j=4000000;; esac; {draw}'
    words = ("compare", "--arm", f"--cpus {first}", "--arm", f"--cpus {second}", "--max-pairs", "8")
    csv = tmp_path / "trials.csv"
    by_energy = ("--metric", PACKAGE_ENERGY, "--json", "--csv", str(csv))
    done = numawise(tmp_path, *words, *by_energy, "--", "sh", "-c", script, around=counters)
    assert done.stderr == ""
    form = json.loads(done.stdout)
    assert form["verdict"] == "better"
    assert form["ratio"] == pytest.approx(0.5, rel=0.05)
    energy = form["energy"]
    assert (energy["source"], energy["unavailable"]) == ("powercap", None)
    assert energy["counted"] == ["package-0", "package-1"]
    dear, frugal = form["arms"]
    assert frugal["energy_j"] == frugal["median"]
    assert dear["energy_j"] == pytest.approx(16, rel=0.02)
    header, *rows = csv.read_text().splitlines()
    assert header.endswith(",energy_j")
    assert all(float(row.rsplit(",", 1)[1]) > 0 for row in rows)
    done = numawise(tmp_path, *words, "--", "sh", "-c", script, around=counters)
    assert "energy of the whole packages" in done.stdout
    assert "runs/J" in done.stdout
    assert done.stdout.count("unavailable") == 0
