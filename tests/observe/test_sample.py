"""Every resident page is as likely to be drawn as any other, in dense, patchy and nearly empty memory."""

from __future__ import annotations

import ctypes
import mmap
from _random import Random
from collections import Counter
from itertools import permutations

import pytest

from numawise.errors import UsageError
from numawise.linux.pagemap import PAGE
from numawise.observe.frame import SpanFrame, covering
from numawise.observe.interval import wilson
from numawise.observe.sample import Sample, _Shuffle, draw, reservoir


class Area:
    """Private memory of which some pages are touched."""

    def __init__(self, pages: int, touched: range) -> None:
        self.pages, self.touched = pages, touched
        self.memory = mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.memory.madvise(mmap.MADV_NOHUGEPAGE)
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.end = self.start + pages * PAGE
        for page in touched:
            self.memory[page * PAGE] = 1

    def frame(self) -> SpanFrame:
        return SpanFrame([(self.start, self.end)])

    def holds(self, address: int) -> bool:
        return self.start <= address < self.end and (address - self.start) // PAGE in self.touched


def chi_square(counts: Counter[object], outcomes: int) -> float:
    mean = sum(counts.values()) / outcomes
    return sum((counts[key] - mean) ** 2 / mean for key in counts) + mean * (outcomes - len(counts))


def test_every_order_is_as_likely_as_any_other() -> None:
    chance, counts = Random(5), Counter[object]()
    for _ in range(24_000):
        order = _Shuffle(4, chance)
        counts[tuple(order.take(1) + order.take(3))] += 1
    assert set(counts) == set(permutations(range(4)))
    assert chi_square(counts, 24) < 49.7  # 23 degrees of freedom, 0.1 %


@pytest.mark.parametrize("wanted", [1, 5, 54, 55])
def test_a_reservoir_takes_every_page_of_every_run_as_often(wanted: int) -> None:
    chance, counts, rounds = Random(11), Counter[object](), 4000
    runs = [(1 << 20, 3 * PAGE), (2 << 20, PAGE), (3 << 20, 49 * PAGE), (4 << 20, 2 * PAGE)]
    for _ in range(rounds):
        chosen, total = reservoir(runs, wanted, chance)
        assert total == 55
        assert len(set(chosen)) == len(chosen) == wanted
        counts.update(chosen)
    assert len(counts) == 55
    assert chi_square(counts, 55) < 91.9  # 54 degrees of freedom, 0.1 %


def test_a_reservoir_larger_than_its_pages_takes_them_all() -> None:
    assert reservoir([(PAGE, 2 * PAGE), (9 * PAGE, PAGE)], 10, Random(1)) == ([PAGE, 2 * PAGE, 9 * PAGE], 3)


def test_every_third_page_touched_is_estimated_as_a_third() -> None:
    covered = 0
    area = Area(24_000, range(0, 24_000, 3))
    for seed in range(60):
        drawn = draw(0, area.frame(), 500, Random(seed))
        assert all(area.holds(address) for address in drawn.nodes)
        found = len(drawn.nodes)
        low, high = wilson(found, found + drawn.missed)
        assert drawn.resident == pytest.approx(24_000 * found / (found + drawn.missed))
        covered += low <= 1 / 3 <= high
    assert covered >= 51  # of 60, at 95 %: fewer has a chance of 0.2 %


def test_mappings_count_by_what_is_resident_in_them_not_by_their_size() -> None:
    patchy, full = Area(30_000, range(0, 30_000, 5)), Area(4_000, range(4_000))
    frame = SpanFrame(sorted([(patchy.start, patchy.end), (full.start, full.end)]))
    truth, covered, of_patchy, looks = 0.6, 0, 0, 0
    for seed in range(60):
        drawn = draw(0, frame, 400, Random(seed))
        hits = sum(patchy.holds(address) for address in drawn.nodes)
        low, high = wilson(hits, len(drawn.nodes))
        covered += low <= truth <= high
        of_patchy, looks = of_patchy + hits, looks + len(drawn.nodes)
    assert covered >= 51
    assert of_patchy / looks == pytest.approx(truth, abs=0.012)  # 4 standard errors of 24 000 looks


SPARSE = [(400_000, range(77, 400_000, 997)), (100_000, range(50_000, 50_300))]


def sparse_areas() -> tuple[list[Area], SpanFrame]:
    areas = [Area(*shape) for shape in SPARSE]
    return areas, SpanFrame(sorted((a.start, a.end) for a in areas))


def test_nearly_empty_memory_is_looked_at_whole() -> None:
    areas, frame = sparse_areas()
    drawn = draw(0, frame, 1000, Random(1))
    assert drawn.complete
    assert sorted(drawn.nodes) == sorted(a.start + page * PAGE for a in areas for page in a.touched)
    assert drawn.resident == len(drawn.nodes) == 702
    assert drawn.missed >= 1900  # the draws before it was found to be nearly empty


def test_of_nearly_empty_memory_every_resident_page_is_as_likely_as_any_other() -> None:
    areas, frame = sparse_areas()
    counts: Counter[object] = Counter()
    rounds, wanted = 40, 200
    for seed in range(rounds):
        drawn = draw(0, frame, wanted, Random(seed))
        assert len(drawn.nodes) == wanted
        assert drawn.resident == 702
        counts.update(list(drawn.nodes))
    in_cluster = sum(count for address, count in counts.items() if areas[1].holds(address))  # type: ignore[arg-type]
    low, high = wilson(in_cluster, rounds * wanted, 0.999)
    assert low <= 300 / 702 <= high
    assert set(counts) <= {a.start + page * PAGE for a in areas for page in a.touched}
    assert len(counts) > 690


def test_memory_never_touched_has_nothing_to_find() -> None:
    area = Area(50_000, range(0))
    assert draw(0, area.frame(), 100, Random(1))._replace(missed=0) == Sample({}, 0, 0.0, complete=True)


def test_small_frames_are_looked_at_whole() -> None:
    area = Area(150, range(0, 150, 2))
    drawn = draw(0, area.frame(), 100, Random(1))
    assert (len(drawn.nodes), drawn.missed, drawn.resident, drawn.complete) == (75, 75, 75, True)


def test_an_empty_frame_is_complete_at_once() -> None:
    assert draw(0, SpanFrame([]), 10, Random(1)) == Sample({}, 0, 0.0, complete=True)


def test_one_seed_draws_one_sample() -> None:
    area = Area(5000, range(5000))
    first, again, other = (draw(0, area.frame(), 50, Random(seed)).nodes for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("pages", [0, -5, 10**8])
def test_a_number_of_pages_that_makes_no_sense_is_refused(pages: int) -> None:
    with pytest.raises(UsageError, match=f"cannot sample {pages} pages"):
        draw(0, SpanFrame([(0, PAGE)]), pages, Random(1))


def test_frames_join_ranges_that_touch_and_skip_empty_ones() -> None:
    frame = SpanFrame([(PAGE, 3 * PAGE), (3 * PAGE, 4 * PAGE), (5 * PAGE, 5 * PAGE), (8 * PAGE, 9 * PAGE)])
    assert frame.spans == [(PAGE, 4 * PAGE), (8 * PAGE, 9 * PAGE)]
    assert [frame.address(i) // PAGE for i in range(frame.size)] == [1, 2, 3, 8]


def test_a_range_is_covered_by_all_pages_it_touches() -> None:
    assert covering(PAGE - 1, 2) == (0, 2 * PAGE)
    assert covering(PAGE, PAGE) == (PAGE, 2 * PAGE)
