"""Every kernel does what its name says, at any size and any address, and refuses what does not fit."""

import ctypes
import mmap
import random
import re
import struct
import threading
from pathlib import Path

import pytest

from numawise.errors import NumawiseError, UsageError
from numawise.native.binding import kernel, kernel_names, run_kernel
from numawise.native.isa import isa_number, isas
from numawise.native.parallel import run_on_threads

SIZES = [8, 9, 16, 24, 63, 64, 65, 127, 256, 520, 1000, 4096, 4099]
OFFSETS = [0, 1, 3, 7, 8, 13, 56, 63]


def words(data: bytes) -> list[int]:
    whole = len(data) // 8
    return list(struct.unpack(f"={whole}Q", data[: whole * 8]))


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("name", [name for name in kernel_names() if name not in ("chase", "spin")])
def test_it_computes_what_its_name_says_and_touches_nothing_else(name: str, isa: str) -> None:
    for size in SIZES:
        for offset in OFFSETS:
            # The buffers lie differently against a line, and before and behind them are bytes to keep.
            whole = [content(name, size + offset + i + 80, i) for i in range(kernel(name).buffers)]
            places = [slice(offset + i, offset + i + size) for i in range(len(whole))]
            before = [bytes(data) for data in whole]
            run = run_kernel(
                name, *(memoryview(data)[at] for data, at in zip(whole, places, strict=True)), isa=isa
            )
            parts = [words(data[at]) for data, at in zip(before, places, strict=True)]
            result, written = expected(name, parts)
            assert run.result == result, (size, offset)
            if written is not None:
                start = places[-1].start
                assert words(whole[-1][start : start + size]) == written, (size, offset)
                end = start + size // 8 * 8
                assert whole[-1][:start] == before[-1][:start], (size, offset)
                assert whole[-1][end:] == before[-1][end:], (size, offset)
                whole.pop()
            assert [bytes(data) for data in whole] == before[: len(whole)]


def content(name: str, length: int, seed: int) -> bytearray:
    """Random bytes; for triad the doubles of small whole numbers (at any address), whose results are exact."""
    if not name.startswith("triad"):
        return bytearray(random.Random(seed).randbytes(length))
    # Each byte pattern repeats every 8 bytes, so that a double begins wherever the buffer does.
    return bytearray((b"\x40" * 8) * (length // 8 + 1))[:length]


def expected(name: str, parts: list[list[int]]) -> tuple[int, list[int] | None]:
    """What a pass returns, and what stands in the last buffer after it, by plain arithmetic."""
    count = len(parts[0])
    if name in ("read", "read_nt"):
        return sum(parts[0]) % 2**64, None
    if name in ("write", "write_nt"):
        return count, [0x6E756D6177697365] * count
    if name in ("copy", "copy_nt"):
        return count, parts[0]
    if name in ("triad", "triad_nt"):
        return count, [bits(real(a) + 3.0 * real(b)) for a, b in zip(parts[0], parts[1], strict=True)]
    assert name == "mix", f"a new kernel: say here what {name} computes"
    return count, [(a + b) % 2**64 for a, b in zip(*parts, strict=True)]


def real(word: int) -> float:
    return float(struct.unpack("=d", struct.pack("=Q", word))[0])


def bits(value: float) -> int:
    return int(struct.unpack("=Q", struct.pack("=d", value))[0])


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("name", ["triad", "triad_nt"])
def test_triad_on_doubles_of_many_sizes(name: str, isa: str) -> None:
    numpy = pytest.importorskip("numpy")
    for count in (1, 5, 8, 17, 100, 1001):
        first = numpy.arange(count, dtype="float64")
        second = numpy.arange(count, dtype="float64")[::-1].copy()
        third = numpy.full(count + 2, -1.0)
        run_kernel(name, first, second, third[1:-1], isa=isa)
        assert (third[1:-1] == first + 3.0 * second).all()
        assert third[0] == third[-1] == -1.0


def test_spin_touches_nothing_and_counts_its_steps() -> None:
    run = run_kernel("spin", passes=3)
    assert (run.result, run.bytes) == (run.elements, 0)
    assert run.seconds > 0


def test_a_long_buffer_is_made_in_slices_without_a_seam() -> None:
    """More than one slice of 64 MiB, and of 16 MiB for a chase: the carry goes from one to the next."""
    with mmap.mmap(-1, (64 << 20) + 4096) as big:
        big[(64 << 20) - 8 : (64 << 20) + 8] = struct.pack("=QQ", 5, 7)
        assert run_kernel("read", big).result == 12
        assert run_kernel("write", big).result == len(big) // 8
        assert big[(64 << 20) - 8 : (64 << 20) + 8] == b"esiwamun" * 2
        run = run_kernel("chase", memoryview(big)[: (16 << 20) + 64 * 3])
        assert (run.result, run.elements) == (0, (1 << 18) + 3)


@pytest.mark.parametrize("lines", [1, 2, 3, 17, 1000])
@pytest.mark.parametrize("offset", [0, 1, 8])
def test_chase_visits_every_line_once_and_comes_back(lines: int, offset: int) -> None:
    data = bytearray(lines * 64 + offset + 10)
    part = memoryview(data)[offset:]
    run = run_kernel("chase", part, seed=lines)
    base = ctypes.addressof(ctypes.c_char.from_buffer(data)) + offset
    seen, at = [], 0
    for _ in range(lines):
        at = struct.unpack_from("=Q", part, at)[0] - base
        seen.append(at)
    assert sorted(seen) == [line * 64 for line in range(lines)]
    assert seen[-1] == 0
    assert (run.result, run.elements) == (0, (lines * 64 + 10) // 64)


def test_chase_is_the_same_ring_for_the_same_seed_only() -> None:
    ring = bytearray(64 * 200)
    laid = []
    for seed in (1, 1, 2):
        run_kernel("chase", ring, seed=seed)
        laid.append(bytes(ring))
    assert laid[0] == laid[1] != laid[2]


def test_chase_with_the_seed_that_cancels_its_own_constant() -> None:
    ring = bytearray(64 * 50)
    assert run_kernel("chase", ring, seed=0x9E3779B97F4A7C15).result == 0
    assert len({struct.unpack_from("=Q", ring, at)[0] for at in range(0, len(ring), 64)}) == 50


def test_a_run_lasts_as_long_as_asked_and_counts_what_it_did() -> None:
    run = run_kernel("read", bytes(4096), seconds=0.02)
    assert run.seconds >= 0.02
    assert run.passes > 1
    assert run.bytes == 4096 * run.passes
    assert run.gb_per_s == pytest.approx(run.bytes / run.seconds / 1e9)


@pytest.mark.parametrize("buffer", [bytes(64), memoryview(bytes(64)), mmap.mmap(-1, 4096)], ids=type)
def test_any_contiguous_buffer_can_be_read(buffer: object) -> None:
    assert run_kernel("read", buffer).result == 0


def test_numpy_arrays_of_any_type_can_be_read() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100, dtype="float32")
    assert run_kernel("read", array).result == sum(words(array.tobytes())) % 2**64
    with pytest.raises(UsageError, match="contiguous"):
        run_kernel("read", array.reshape(10, 10)[:, :8])


def test_the_environment_chooses_the_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isas()[-1] == "portable"
    assert isa_number(None) == isa_number(isas()[0])
    monkeypatch.setenv("NUMAWISE_ISA", "portable")
    assert isa_number(None) == isa_number("portable")
    monkeypatch.setenv("NUMAWISE_ISA", "")
    assert isa_number(None) == isa_number(isas()[0])
    monkeypatch.setenv("NUMAWISE_ISA", "mmx")
    with pytest.raises(UsageError, match="NUMAWISE_ISA=mmx is no instruction set of this machine"):
        run_kernel("read", bytes(64))


def test_the_instruction_sets_are_those_of_the_cpu() -> None:
    flags = set(re.findall(r"\w+", Path("/proc/cpuinfo").read_text()))
    assert ("avx2" in isas()) == {"avx2", "fma"}.issubset(flags)
    assert ("avx512" in isas()) == {"avx2", "fma", "avx512f"}.issubset(flags)


def test_the_buffer_is_released_afterwards() -> None:
    data = bytearray(64)
    run_kernel("write", data)
    data.extend(b"x")  # BufferError while a buffer is exported


def test_a_read_only_buffer_is_never_written() -> None:
    data = bytes(64)
    for name in kernel_names():
        buffers = [*(bytearray(64) for _ in kernel(name).writes[1:]), data]
        if any(kernel(name).writes):
            with pytest.raises(UsageError, match="writable"):
                run_kernel(name, *buffers)
    assert data == bytes(64)


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    data = bytearray(64)
    view = memoryview(data)
    for call, said in [
        (
            lambda: run_kernel("scale", data),
            "no kernel is called 'scale'; there are chase, copy, ",
        ),
        (lambda: run_kernel("read", b""), "hold no element"),
        (lambda: run_kernel("chase", bytearray(63)), "63 bytes hold no element"),
        (lambda: run_kernel("read", 12), "not this int"),
        (lambda: run_kernel("read", data, bytearray(64)), "takes 1 buffer"),
        (lambda: run_kernel("copy", data), "takes 2 buffer.*not 1"),
        (lambda: run_kernel("copy", data, bytearray(65)), "one length"),
        (lambda: run_kernel("copy", view[:32], view[24:56]), "overlap"),
        (lambda: run_kernel("read", data, passes=0), "at least one pass"),
        (lambda: run_kernel("read", data, seconds=float("nan")), "0 or more seconds"),
        (lambda: run_kernel("read", data, isa="sse9"), "isa 'sse9' is no instruction set .*portable"),
        (lambda: run_on_threads("read", [], seconds=0), "at least one buffer"),
        (lambda: run_on_threads("read", [data, b"short"], seconds=0), "hold no element"),
    ]:
        with pytest.raises(NumawiseError, match=said) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_kernel_does_not_hold_the_interpreter() -> None:
    done = threading.Event()
    thread = threading.Thread(target=lambda: (run_kernel("read", bytes(4096), seconds=0.5), done.set()))
    thread.start()
    turns = 0
    while not done.is_set():
        turns += 1
    thread.join()
    assert turns > 100  # a held interpreter would leave a handful


def test_threads_run_at_the_same_time() -> None:
    together = run_on_threads("read", [bytes(1 << 16), bytes(1 << 16)], seconds=0.1)
    first, second = together.runs
    assert max(first.started_ns, second.started_ns) < min(first.ended_ns, second.ended_ns)
    assert together.gb_per_s == pytest.approx(first.gb_per_s + second.gb_per_s)
