"""NVIDIA's management library (NVML) as far as links need it, through nvidia-ml-py (the extra `nvidia`)."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from numawise.measure.device_cuda import LIBRARIES, PACKAGES
from numawise.measure.device_driver import DriverError, Unavailable
from numawise.measure.device_links import LinkEnd

_NOT_THERE = ("NVML_ERROR_NOT_SUPPORTED", "NVML_ERROR_INVALID_ARGUMENT", "NVML_ERROR_FUNCTION_NOT_FOUND")
"""Answers that mean no such link, or a driver that cannot tell."""
NVLINK_VERSIONS = {1: "1.0", 2: "2.0", 3: "2.2", 4: "3.0", 5: "3.1", 6: "4.0", 7: "5.0", 8: "6.0"}
"""`NVML_NVLINK_VERSION_*` of nvml.h; older nvidia-ml-py have no names for them."""


class Nvml:
    """The library, initialised; to be used in a `with`. Every call that fails raises DriverError."""

    def __init__(self) -> None:
        """Raises Unavailable when the package is not there."""
        try:
            import pynvml
        except ImportError:
            raise Unavailable(PACKAGES) from None
        self._nvml: Any = pynvml

    def __enter__(self) -> Nvml:
        """Raises Unavailable when the driver's library is not there, DriverError when it refuses."""
        try:
            self.call("nvmlInit")
        except DriverError as error:
            if error.name == "NVML_ERROR_LIBRARY_NOT_FOUND":
                raise Unavailable(LIBRARIES) from None
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call("nvmlShutdown")

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function by its name."""
        try:
            return getattr(self._nvml, function)(*arguments)
        except self._nvml.NVMLError as error:
            raise DriverError(function, self._name(error.value), str(error)) from None

    def handle(self, address: str) -> Any:
        """The GPU at a PCI address."""
        return self.call("nvmlDeviceGetHandleByPciBusId", address.encode())

    def pcie(self, handle: Any) -> tuple[int, int] | None:
        """Generation and lanes of its PCIe link at this moment; None where NVML does not say."""
        try:
            generation: int = self.call("nvmlDeviceGetCurrPcieLinkGeneration", handle)
            return generation, self.call("nvmlDeviceGetCurrPcieLinkWidth", handle)
        except DriverError:
            return None

    def level(self, one: Any, other: Any) -> int:
        """What the paths of two GPUs have in common (`NVML_TOPOLOGY_*`)."""
        found: int = self.call("nvmlDeviceGetTopologyCommonAncestor", one, other)
        return found

    def reaches(self, one: Any, other: Any) -> bool:
        """Whether NVML says that NVLink carries traffic from one GPU to the other."""
        try:
            status = self.call("nvmlDeviceGetP2PStatus", one, other, self._nvml.NVML_P2P_CAPS_INDEX_NVLINK)
        except DriverError:
            return False
        return bool(status == self._nvml.NVML_P2P_STATUS_OK)

    def link_ends(self, handle: Any) -> tuple[LinkEnd, ...]:
        """The active NVLinks of a GPU, with what is at their other end; empty for one without NVLink."""
        found = []
        for number in range(self._nvml.NVML_NVLINK_MAX_LINKS):
            try:
                state = self.call("nvmlDeviceGetNvLinkState", handle, number)
            except DriverError as error:
                if error.name in _NOT_THERE:
                    continue
                raise
            if state:  # NVML_FEATURE_ENABLED
                found.append(LinkEnd(*self._remote(handle, number), version=self._version(handle, number)))
        return tuple(found)

    def _remote(self, handle: Any, number: int) -> tuple[str, bool]:
        """The address at the other end (empty when NVML keeps it to itself), and whether a switch is there."""
        kind = self._told("nvmlDeviceGetNvLinkRemoteDeviceType", handle, number)
        info = self._told("nvmlDeviceGetNvLinkRemotePciInfo", handle, number)
        address = "" if info is None else f"{info.domain:04x}:{info.bus:02x}:{info.device:02x}.0"
        return address, bool(kind == self._nvml.NVML_NVLINK_DEVICE_TYPE_SWITCH)

    def _version(self, handle: Any, number: int) -> str:
        return NVLINK_VERSIONS.get(self._told("nvmlDeviceGetNvLinkVersion", handle, number), "")

    def _told(self, function: str, *arguments: Any) -> Any:
        try:
            return self.call(function, *arguments)
        except DriverError as error:
            if error.name in _NOT_THERE:
                return None
            raise

    def _name(self, value: int) -> str:
        names = (
            name
            for name, held in vars(self._nvml).items()
            if name.startswith("NVML_ERROR_") and held == value
        )
        return next(names, f"error {value}")
