"""CUDA's driver interface, as far as copies need it, through cuda-bindings (the extra `nvidia`).

Names and arguments are those of the CUDA Driver API. cuda-bindings gives a tuple from every function, the error first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

from numawise.measure.device_driver import DriverError, Unavailable

PACKAGES = "the Python packages that speak to it are not: pip install 'numawise[nvidia]'"
LIBRARIES = (
    "the libraries of NVIDIA's driver (libcuda, libnvidia-ml) are not: install the driver; a container needs to be "
    "started with GPUs (docker run --gpus all)"
)
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: not held up by the default stream
_NAME_BYTES = 256


class CudaDevice(NamedTuple):
    """A GPU as CUDA shows it. CUDA's order is its own, and CUDA_VISIBLE_DEVICES changes it: go by address."""

    handle: Any
    address: str
    """As CUDA writes it: `0000:17:00.0`; of a MIG instance, the address of the card."""
    name: str


class Cuda:
    """The driver, initialised. Every call that fails raises DriverError with the error's name."""

    def __init__(self) -> None:
        """Raises Unavailable when the package or the driver's library is not there, DriverError when it refuses."""
        try:
            from cuda.bindings import driver
        except ImportError:
            raise Unavailable(PACKAGES) from None
        self._driver = driver
        self.call("cuInit", 0)

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function by its name; returns what it gives besides the error: None, a value, or a tuple."""
        try:
            error, *found = getattr(self._driver, function)(*arguments)
        except RuntimeError as failure:
            # Raised by the bindings when they find no library, or no such function in it.
            if function == "cuInit":
                raise Unavailable(LIBRARIES) from None
            raise DriverError(
                function,
                "nothing",
                f"{failure}; the driver is older than cuda-bindings: pip install 'cuda-bindings==12.*'",
            ) from None
        except ValueError as failure:  # an error that this version of the bindings has no name for
            raise DriverError(function, "an unknown error", str(failure)) from None
        if int(error) != 0:
            raise DriverError(function, str(error.name), self._meaning(error))
        return found[0] if len(found) == 1 else tuple(found) or None

    def devices(self) -> list[CudaDevice]:
        """The GPUs that CUDA shows to this process, in CUDA's order."""
        handles = [self.call("cuDeviceGet", i) for i in range(self.call("cuDeviceGetCount"))]
        return [
            CudaDevice(
                handle,
                _text(self.call("cuDeviceGetPCIBusId", _NAME_BYTES, handle)),
                _text(self.call("cuDeviceGetName", _NAME_BYTES, handle)),
            )
            for handle in handles
        ]

    @contextmanager
    def context(self, device: CudaDevice) -> Iterator[None]:
        """Calls inside are for this device."""
        with ExitStack() as stack:
            context = self.call("cuDevicePrimaryCtxRetain", device.handle)
            stack.callback(self._finally, "cuDevicePrimaryCtxRelease", device.handle)
            self.call("cuCtxPushCurrent", context)
            stack.callback(self._finally, "cuCtxPopCurrent")
            yield

    @contextmanager
    def pinned(self, address: int, length: int) -> Iterator[None]:
        """Page-lock host memory for the current device, where its pages are."""
        self.call("cuMemHostRegister", address, length, 0)
        try:
            yield
        finally:
            self._finally("cuMemHostUnregister", address)

    @contextmanager
    def copier(self, host: int, length: int) -> Iterator[Copier]:
        """A stream, two events, and as much memory of the current device as `length`."""
        with ExitStack() as stack:
            memory = self.call("cuMemAlloc", length)
            stack.callback(self._finally, "cuMemFree", memory)
            stream = self.call("cuStreamCreate", _NON_BLOCKING)
            stack.callback(self._finally, "cuStreamDestroy", stream)
            events = []
            for _ in range(2):
                events.append(self.call("cuEventCreate", 0))
                stack.callback(self._finally, "cuEventDestroy", events[-1])
            # Nothing may be under way when memory is given back, also after Ctrl-C.
            stack.callback(self._finally, "cuStreamSynchronize", stream)
            yield Copier(self, host, memory, length, stream, (events[0], events[1]))

    def free_bytes(self) -> int:
        """Free memory of the current device."""
        free: int = self.call("cuMemGetInfo")[0]
        return free

    def _finally(self, function: str, *arguments: Any) -> None:
        # After a fatal error every call answers it again; the first one is told.
        with suppress(DriverError):
            self.call(function, *arguments)

    def _meaning(self, error: Any) -> str:
        asked, text = self._driver.cuGetErrorString(error)
        return _text(text) if int(asked) == 0 and text else ""


class Copier(NamedTuple):
    """Copies of one length between a pinned buffer and the device, timed by the device."""

    cuda: Cuda
    host: int
    device: Any
    length: int
    stream: Any
    events: tuple[Any, Any]

    def to_device(self) -> None:
        """Start a copy to the device."""
        self.cuda.call("cuMemcpyHtoDAsync", self.device, self.host, self.length, self.stream)

    def to_host(self) -> None:
        """Start a copy to the host."""
        self.cuda.call("cuMemcpyDtoHAsync", self.host, self.device, self.length, self.stream)

    def wait(self) -> None:
        """Until all copies are done."""
        self.cuda.call("cuStreamSynchronize", self.stream)

    def seconds(self, direction: str, count: int) -> float:
        """What `count` copies take, one after the other, from the device's events before and behind them."""
        before, behind = self.events
        start = self.to_device if direction == "host-to-device" else self.to_host
        self.cuda.call("cuEventRecord", before, self.stream)
        for _ in range(count):
            start()
        self.cuda.call("cuEventRecord", behind, self.stream)
        self.cuda.call("cuEventSynchronize", behind)
        milliseconds: float = self.cuda.call("cuEventElapsedTime", before, behind)
        return milliseconds / 1000


def _text(raw: bytes) -> str:
    """What stands before the NUL: the bindings give the whole buffer."""
    return raw.partition(b"\0")[0].decode("utf-8", "replace").strip()
