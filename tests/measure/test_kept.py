"""What is kept between runs: whole or not at all, part by part, and clear words for damaged files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from machines import two_sockets

from numawise.errors import NumawiseError, SnapshotError
from numawise.linux.cpuset import CPUSet
from numawise.machine.identity import machine_facts, topology_key
from numawise.measure.figure import Figure
from numawise.measure.kept import keep, load, merge, path_of
from numawise.measure.values import Measurements, Reading

KEY = topology_key(two_sockets())


def reading(ns: float) -> Reading:
    return Reading(CPUSet([0]), 0, (0,), Figure(ns, ns, 0.5, 5), kernel="chase")


def measured(time: float = 1.0, **fields: Any) -> Measurements:
    return Measurements(KEY, machine_facts(two_sockets()), created=time, **fields)


def test_kept_and_loaded_is_the_same(tmp_path: Path):
    one = measured(latency=(reading(90.0),), taken={"latency": 1.0}, notes={"latency": ("n",)})
    path = keep(one, tmp_path / "new")
    assert path == path_of(KEY, tmp_path / "new")
    assert load(KEY, tmp_path / "new") == one
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_nothing_kept_is_none(tmp_path: Path):
    assert load(KEY, tmp_path) is None


def test_the_home_is_where_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NUMAWISE_HOME", str(tmp_path))
    assert keep(measured()) == tmp_path / "machines" / f"{KEY}.json"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "truncated"),
        ('{"topology_key": 3}', "topology_key"),
        ('{"version": 99}', "newer numawise"),
        ("[]", "object"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, text: str, words: str):
    path_of(KEY, tmp_path).write_text(text)
    with pytest.raises(SnapshotError, match=words) as caught:
        load(KEY, tmp_path)
    assert str(path_of(KEY, tmp_path)) in str(caught.value)


def test_a_file_of_another_machine_is_refused(tmp_path: Path):
    other = msgspec.structs.replace(measured(), topology_key="feedfeedfeedfeed")
    path_of(KEY, tmp_path).write_bytes(keep(other, tmp_path).read_bytes())
    with pytest.raises(SnapshotError, match="another machine"):
        load(KEY, tmp_path)
    with pytest.raises(SnapshotError, match="two machines"):
        merge(other, measured())


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path):
    before = keep(measured(), tmp_path).read_bytes()
    path_of(KEY, tmp_path).parent.chmod(0o500)
    blocked = tmp_path / "file"
    try:
        with pytest.raises(NumawiseError):
            keep(measured(2.0), path_of(KEY, tmp_path) / "inside-a-file")
    finally:
        tmp_path.chmod(0o700)
    assert not blocked.exists()
    assert path_of(KEY, tmp_path).read_bytes() == before


class TestMerge:
    def test_parts_keep_their_own_time(self):
        old = measured(1.0, latency=(reading(90.0),), taken={"latency": 1.0}, notes={"latency": ("old",)})
        new = measured(
            9.0, bandwidth=(reading(5.0),), taken={"bandwidth": 9.0}, gaps={"bandwidth": ("hole",)}
        )
        merged, held_back = merge(old, new)
        assert held_back == ()
        assert merged.latency == old.latency
        assert merged.bandwidth == new.bandwidth
        assert merged.taken == {"latency": 1.0, "bandwidth": 9.0}
        assert merged.notes == {"latency": ("old",)}
        assert merged.incomplete == ("bandwidth: hole",)

    def test_a_part_measured_again_replaces_the_old(self):
        old = measured(1.0, latency=(reading(90.0),), taken={"latency": 1.0}, gaps={"latency": ("hole",)})
        new = measured(9.0, latency=(reading(95.0),), taken={"latency": 9.0})
        merged, _ = merge(old, new)
        assert merged == new

    def test_figures_with_gaps_do_not_replace_whole_ones(self):
        old = measured(1.0, latency=(reading(90.0),), taken={"latency": 1.0})
        new = measured(9.0, latency=(reading(9.0),), taken={"latency": 9.0}, gaps={"latency": ("small",)})
        merged, held_back = merge(old, new)
        assert held_back == ("latency",)
        assert merged.latency == old.latency
        assert (merged.taken, merged.gaps, merged.incomplete) == ({"latency": 1.0}, {}, ())

    def test_links_go_with_the_devices(self):
        old = measured(1.0, taken={"device": 1.0}, device=(), links=("kept",))
        merged, _ = merge(old, measured(2.0, taken={"latency": 2.0}, latency=(reading(1.0),)))
        assert merged.links == ("kept",)

    def test_the_first_one_stays_as_it_is(self):
        one = measured(taken={"latency": 1.0})
        assert merge(None, one) == (one, ())


@pytest.mark.parametrize("median", [-5.0, 0.0])
def test_figures_that_nobody_measured_are_refused(tmp_path: Path, median: float):
    keep(measured(latency=(reading(median),)), tmp_path)
    with pytest.raises(SnapshotError, match="never measured; remove it"):
        load(KEY, tmp_path)


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path):
    os.mkfifo(path_of(KEY, tmp_path))
    with pytest.raises(NumawiseError, match="not a regular file"):
        load(KEY, tmp_path)


def test_a_device_in_its_place_is_not_read_without_end(tmp_path: Path):
    path_of(KEY, tmp_path).symlink_to("/dev/zero")
    with pytest.raises(NumawiseError, match="not a regular file"):
        load(KEY, tmp_path)
