"""Numactl's options (2.0.19), and `--json` of our own."""

from __future__ import annotations

from numawise.cli.classic.getopt import REQUIRED, Option


def _option(letter: str, name: str, argument: int = 0, *more_words: str) -> Option:
    return Option(name, letter, (name, *more_words), argument)


OPTIONS = (
    _option("a", "all"),
    _option("b", "balancing"),
    _option("i", "interleave", REQUIRED),
    _option("w", "weighted-interleave", REQUIRED),
    _option("p", "preferred", REQUIRED),
    _option("P", "preferred-many", REQUIRED),
    _option("m", "membind", REQUIRED),
    _option("l", "localalloc"),
    _option("C", "physcpubind", REQUIRED),
    _option("N", "cpunodebind", REQUIRED, "cpubind"),
    Option("cpunodebind", "c", (), REQUIRED),
    _option("s", "show"),
    _option("H", "hardware"),
    _option("", "cpu-compress"),
    _option("t", "strict"),
    _option("L", "length", REQUIRED),
    _option("o", "offset", REQUIRED),
    _option("M", "shmmode", REQUIRED),
    _option("I", "shmid", REQUIRED),
    _option("u", "huge"),
    _option("S", "shm", REQUIRED),
    _option("f", "file", REQUIRED),
    _option("T", "touch"),
    _option("V", "verify"),
    _option("d", "dump"),
    _option("D", "dump-nodes"),
    _option("", "version"),
    _option("h", "help"),
    _option("", "json"),
)

POLICIES = {
    "interleave": ("interleave", "setting interleave mask"),
    "weighted-interleave": ("weighted-interleave", "setting weighted interleave mask"),
    "preferred": ("preferred", "setting preferred node"),
    "preferred-many": ("preferred-many", "setting preferred nodes"),
    "membind": ("bind", "setting membind"),
    "localalloc": ("local", "local allocation"),
}
"""Option -> the memory policy it asks for, and what doing so is called when it fails."""

SHAPE_OPTIONS = ("length", "offset", "shmmode", "shmid", "huge")
"""Those that describe the shared memory, and come before it."""
AFTER_OPTIONS = ("touch", "verify", "dump", "dump-nodes")
"""Those that act on the shared memory, and come after it."""

USAGE = """\
usage: numactl [--all|-a] [--balancing|-b] [POLICY] [CPUS] [--] COMMAND [ARGUMENT ...]
       numactl [OPTIONS AS ABOVE] --show|-s
       numactl --hardware|-H [--cpu-compress] [--json]
       numactl [SHAPE ...] --shm|-S KEYFILE | --file|-f FILE  [POLICY] [ACTION ...]
       numactl --version | --help|-h

POLICY  --membind|-m NODES               memory from these nodes only
        --interleave|-i NODES            page by page over the nodes
        --weighted-interleave|-w NODES   the same, in proportion to the nodes' weights (Linux 6.9)
        --preferred|-p NODE              this node first, then any
        --preferred-many|-P NODES        these nodes first, then any (Linux 5.15)
        --localalloc|-l                  the node of the CPU that asks
CPUS    --cpunodebind|-N NODES           the CPUs of these nodes
        --physcpubind|-C CPUS            these CPUs
-a      let NODES and CPUS name more than this process is allowed now
-b      with --membind: the kernel may still move pages between these nodes (Linux 5.12); comes first
SHAPE   --length|-L SIZE  --offset|-o SIZE (with k, m or g)  --huge|-u  --shmmode|-M MODE  --shmid|-I NUMBER
ACTION  --strict|-t  --touch|-T  --verify|-V  --dump|-d  --dump-nodes|-D

NODES   0,2-3 | all | same (as named before); !0 all but; +0 counted within the allowed ones;
        or where a device is: netdev:IF  file:PATH  ip:ADDRESS  block:DEVICE  pci:[SEGMENT:]BUS:DEVICE[.FUNCTION]
CPUS    0,2-3 | all, with ! and + likewise"""
