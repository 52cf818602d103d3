"""Every kernel does what its name says, at any size and any address, and refuses what does not fit."""

import mmap
import random
import struct
import threading

import pytest

from numawise.errors import NumawiseError, UsageError
from numawise.native.binding import kernel, kernel_names, run_kernel
from numawise.native.parallel import run_on_threads

SIZES = [8, 9, 16, 24, 63, 64, 65, 127, 1000, 4096, 4099]
OFFSETS = [0, 1, 3, 7, 8, 13]


def random_bytes(length: int) -> bytearray:
    return bytearray(random.Random(length).randbytes(length))


def words(data: bytes) -> list[int]:
    whole = len(data) // 8
    return list(struct.unpack(f"={whole}Q", data[: whole * 8]))


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("size", SIZES)
def test_read_sums_the_words(size: int, offset: int) -> None:
    data = random_bytes(size + offset)
    part = memoryview(data)[offset:]
    run = run_kernel("read", part, passes=2)
    assert run.result == sum(words(bytes(part))) % 2**64
    assert (run.elements, run.passes, run.bytes) == (size // 8, 2, size // 8 * 16)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("size", SIZES)
def test_write_fills_whole_words_and_nothing_else(size: int, offset: int) -> None:
    data = random_bytes(size + offset + 5)
    before = bytes(data)
    run_kernel("write", memoryview(data)[offset : offset + size])
    end = offset + size // 8 * 8
    assert words(data[offset:end]) == [0x6E756D6177697365] * (size // 8)
    assert data[:offset] == before[:offset]
    assert data[end:] == before[end:]


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("size", SIZES)
def test_copy_copies_whole_words_and_nothing_else(size: int, offset: int) -> None:
    source, target = random_bytes(size + offset), bytearray(size + 2)
    run = run_kernel("copy", memoryview(source)[offset:], memoryview(target)[2:], passes=3)
    whole = size // 8 * 8
    assert target[2 : 2 + whole] == source[offset : offset + whole]
    assert not any(target[2 + whole :]) and not any(target[:2])
    assert run.bytes == size // 8 * 16 * 3


@pytest.mark.parametrize("lines", [1, 2, 3, 17, 1000])
@pytest.mark.parametrize("offset", [0, 1, 8])
def test_chase_visits_every_line_once_and_comes_back(lines: int, offset: int) -> None:
    data = bytearray(lines * 64 + offset + 10)
    part = memoryview(data)[offset:]
    run = run_kernel("chase", part, seed=lines)
    seen, at = [], 0
    for _ in range(lines):
        at = struct.unpack_from("=Q", part, at)[0]
        seen.append(at)
    assert sorted(seen) == [line * 64 for line in range(lines)]
    assert (run.result, run.elements) == (0, (lines * 64 + 10) // 64)


def test_chase_is_the_same_ring_for_the_same_seed_only() -> None:
    rings = [bytearray(64 * 200) for _ in range(3)]
    for ring, seed in zip(rings, (1, 1, 2), strict=True):
        run_kernel("chase", ring, seed=seed)
    assert rings[0] == rings[1] != rings[2]


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
