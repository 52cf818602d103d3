"""The NUMA node of a device that is known by a name: network interface, file, address, block device, PCI address.

sysfs holds a `numa_node` in the folder of most devices on a bus; -1 there means that the firmware does not say
(Documentation/ABI/testing/sysfs-bus-pci). What has none of its own, such as a partition, a multipath or a RAID
device, is asked through its parents and through what it is made of.
"""

from __future__ import annotations

import os
import socket
import stat

from numawise.errors import UsageError

_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_MAX_DEPTH = 16  # of devices made of devices


def nodes_of(kind: str, name: str) -> frozenset[int]:
    """The nodes of the device that `kind` (netdev, file, ip, block, pci) and `name` describe.

    More than one only for a block device that is made of several. Raises UsageError when there is no such device
    or nobody knows its node.
    """
    folders = {"netdev": _interface, "file": _file, "ip": _address, "block": _block, "pci": _pci}[kind](name)
    found = {node for folder in folders if (node := _node(folder)) is not None}
    if not found:
        raise UsageError("the kernel does not say on which node that is (numa_node in /sys is -1 or missing)")
    return frozenset(found)


def _interface(name: str) -> list[str]:
    folder = f"/sys/class/net/{name}"
    if not name or "/" in name or not os.path.exists(folder):  # noqa: PTH110 - pathlib starts slowly
        raise UsageError(f"there is no network interface {name!r}; see: ls /sys/class/net")
    # A bond or a bridge is where the interfaces under it are.
    below = [entry.removeprefix("lower_") for entry in _entries(folder) if entry.startswith("lower_")]
    return [f"{folder}/device", *(f"/sys/class/net/{name}/device" for name in below)]


def _address(name: str) -> list[str]:
    """The interface whose address the kernel would send from."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(name, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)  # of a datagram socket: a look at the routes, nothing is sent
            source = probe.getsockname()
    except OSError as error:
        raise UsageError(f"no route to {name!r}: {error.strerror or error}") from None
    interface = _interface_with(family, source)
    if interface is None:
        raise UsageError(
            f"no network interface has {source[0]}, the address that packets to {name!r} leave from"
        )
    return _interface(interface)


def _interface_with(family: int, source: tuple[str, ...]) -> str | None:
    packed = socket.inet_pton(family, source[0].partition("%")[0])
    if family == socket.AF_INET6:
        with open("/proc/net/if_inet6", encoding="ascii") as file:  # noqa: PTH123
            rows = [line.split() for line in file]
        return next((row[5] for row in rows if bytes.fromhex(row[0]) == packed), None)
    import fcntl

    request = 0x8915  # SIOCGIFADDR, netdevice(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe.fileno(), request, name.encode().ljust(40, b"\0"))
            except OSError:
                continue  # an interface without an address
            if answer[20:24] == packed:
                return name
    return None


def _file(path: str) -> list[str]:
    try:
        state = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError) as error:
        raise UsageError(f"file {path!r}: {getattr(error, 'strerror', None) or error}") from None
    number = state.st_rdev if stat.S_ISBLK(state.st_mode) else state.st_dev
    folder = f"/sys/dev/block/{os.major(number)}:{os.minor(number)}"
    if not os.path.exists(folder):  # noqa: PTH110
        raise UsageError(f"file {path!r} is on no block device (a file system in memory, or over a network)")
    return _made_of(folder)


def _block(name: str) -> list[str]:
    folder = f"/sys/class/block/{name}"
    if not name or "/" in name or not os.path.exists(folder):  # noqa: PTH110
        raise UsageError(
            f"there is no block device {name!r}; see: ls /sys/class/block (for a path in /dev: file:PATH)"
        )
    return _made_of(folder)


def _made_of(folder: str, depth: int = 0) -> list[str]:
    parts = _entries(f"{folder}/slaves")
    if not parts or depth > _MAX_DEPTH:
        return [folder]
    return [leaf for part in parts for leaf in _made_of(f"{folder}/slaves/{part}", depth + 1)]


def _pci(name: str) -> list[str]:
    """`[segment:]bus:device[.function]`, also with a colon before the function."""
    words = name.replace(".", ":").split(":")
    legible = all(0 < len(word) <= 8 and set(word) <= _HEXADECIMAL for word in words)
    numbers = [int(word, 16) for word in words] if legible else []
    if len(numbers) == 2 or (len(numbers) == 3 and "." in name):
        numbers.insert(0, 0)
    if len(numbers) == 3:
        numbers.append(0)
    if len(numbers) != 4:
        raise UsageError(f"not a PCI address: {name!r}; write [segment:]bus:device[.function], as lspci does")
    folder = "/sys/bus/pci/devices/{:04x}:{:02x}:{:02x}.{:x}".format(*numbers)
    if not os.path.exists(folder):  # noqa: PTH110
        raise UsageError(f"there is no PCI device {name!r}; see: lspci -D")
    return [folder]


def _node(folder: str) -> int | None:
    """The first `numa_node` at or above `folder` that says something."""
    here = os.path.realpath(folder)
    while here.startswith("/sys/devices/"):
        try:
            with open(f"{here}/numa_node", encoding="ascii") as file:  # noqa: PTH123
                node = int(file.read())
        except (OSError, ValueError):
            node = -1
        if node >= 0:
            return node
        here = os.path.dirname(here)  # noqa: PTH120
    return None


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return []
