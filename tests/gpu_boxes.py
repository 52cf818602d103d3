"""This machine with other GPUs: made-up `/sys/bus/pci/devices` and `/proc/driver`, seen by one process tree only.

Also a stand-in for NVIDIA's library (libnvidia-ml.so.1), which the real package pynvml loads and asks.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

NVML_SOURCE = r"""
// Answers from the variable NVML_SAYS: cards as "domain:bus:device uuid nodemask [mig-uuid]", parted by ";".
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9 };
struct card { unsigned domain, bus, device; char uuid[96]; unsigned long long nodes; char mig[96]; };
static struct card cards[16];
static unsigned count;
struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; };
int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  const char *says = getenv("NVML_SAYS");
  if (!says) return DRIVER_NOT_LOADED;
  for (count = 0; says && *says && count < 16; count++) {
    struct card *c = cards + count;
    memset(c, 0, sizeof *c);
    if (sscanf(says, "%x:%x:%x %95[^ ] %llx %95[^; ]", &c->domain, &c->bus, &c->device, c->uuid, &c->nodes, c->mig) < 5)
      return INVALID;
    says = strchr(says, ';');
    if (says) says++;
  }
  return OK;
}
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == DRIVER_NOT_LOADED ? "Driver Not Loaded" : "Unknown Error"; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = count; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, struct card **out) { *out = cards + i; return i < count ? OK : INVALID; }
int nvmlDeviceGetPciInfo_v3(struct card *c, struct pci *out) {
  memset(out, 0, sizeof *out);
  out->domain = c->domain, out->bus = c->bus, out->device = c->device;
  return OK;
}
int nvmlDeviceGetUUID(void *handle, char *out, unsigned size) {
  for (unsigned i = 0; i < count; i++)
    if (handle == cards[i].mig) return snprintf(out, size, "%s", cards[i].mig), OK;
  return snprintf(out, size, "%s", ((struct card *)handle)->uuid), OK;
}
int nvmlDeviceGetMemoryAffinity(struct card *c, unsigned size, unsigned long *out, unsigned scope) {
  (void)scope;
  if (!c->nodes) return NOT_SUPPORTED;
  memset(out, 0, size * sizeof *out);
  out[0] = c->nodes;
  return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(struct card *c, unsigned *n) { *n = 2; return c->mig[0] ? OK : NOT_SUPPORTED; }
int nvmlDeviceGetMigDeviceHandleByIndex(struct card *c, unsigned i, void **out) {
  *out = c->mig;
  return i == 1 ? OK : NOT_FOUND;
}
"""


@cache
def why_not() -> str | None:
    """Why this process cannot see another machine, or None."""
    if not shutil.which("unshare"):
        return "no unshare here (util-linux)"
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/proc/driver"],
        check=False,
        capture_output=True,
        text=True,
    )
    return None if tried.returncode == 0 else f"mounting is not permitted here: {tried.stderr.strip()}"


def library(folder: Path) -> Path:
    """Compile the stand-in for NVIDIA's library into `folder`, which is to be put into LD_LIBRARY_PATH."""
    source = folder / "nvml.c"
    source.write_text(NVML_SOURCE)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", source], check=True)
    return folder


def device(
    folder: Path, address: str, node: int, *, vendor: int = 0x10DE, class_code: int = 0x030200
) -> None:
    """One PCI function in a made-up `/sys/bus/pci/devices`."""
    place = folder / "pci" / address
    place.mkdir(parents=True)
    for name, text in (
        ("class", f"0x{class_code:06x}"),
        ("vendor", f"0x{vendor:04x}"),
        ("device", "0x2330"),
        ("numa_node", str(node)),
    ):
        (place / name).write_text(f"{text}\n")


def driver(folder: Path, address: str, uuid: str, minor: int) -> None:
    """What NVIDIA's driver says of one GPU in a made-up `/proc/driver`."""
    place = folder / "driver/nvidia/gpus" / address
    place.mkdir(parents=True)
    (place / "information").write_text(f"GPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n")


def inside(folder: Path, command: Sequence[str]) -> list[str]:
    """`command` on this machine with the devices and drivers of `folder`."""
    (folder / "driver").mkdir(exist_ok=True)
    script = 'mount --bind "$1/pci" /sys/bus/pci/devices && mount --bind "$1/driver" /proc/driver && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-ec", script, "sh", str(folder), *command]


def run(
    folder: Path, command: Sequence[str], environment: Mapping[str, str], timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run `command` there."""
    return subprocess.run(
        inside(folder, command),
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
    )
