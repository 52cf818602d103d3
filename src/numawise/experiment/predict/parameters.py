"""What is believed about machines and programs where nothing was measured: a value, its error, and its source.

None of these was fitted to the published results that the model is held against (docs/prediction.md).
"""

from __future__ import annotations

import msgspec


class Parameter(msgspec.Struct, frozen=True):
    """A value and the standard deviation of its logarithm."""

    value: float
    sigma: float


class Parameters(msgspec.Struct, frozen=True):
    """All of them. A machine's own measurements take the place of those that can be measured."""

    lines_in_flight: Parameter = Parameter(20, 0.35)
    """Cache lines a core keeps on their way from memory, so its bandwidth is this * 64 bytes / latency (Little).
    Between the 10 to 16 line fill buffers of an L1 and the 32 to 48 entries of an L2 (Intel's optimisation manual)."""
    smt_compute: Parameter = Parameter(1.22, 0.10)
    """Throughput of a core with two busy threads over one: 1.16 to 1.28 (Marr et al., Intel Technology Journal,
    2002)."""
    smt_latency: Parameter = Parameter(1.7, 0.15)
    """The same where threads wait for memory one load at a time: two waits overlap, less what they share."""
    crowding: Parameter = Parameter(0.3, 0.7)
    """Slowdown for each further thread that a CPU has to take turns with: switches, cold caches, and waiting for those
    that are not running. Prior; next to nothing for independent work, several times as much where threads spin."""
    stray: Parameter = Parameter(0.22, 0.7)
    """Share of pages that are not beside their threads although CPUs are bound: page cache, and what was touched
    before. 22% in TensorRT-LLM#18117."""
    far_device: Parameter = Parameter(0.35, 0.5)
    """Bandwidth of a device to memory of another socket over that to its own: 115 to 330 GB/s (GB200, torchtitan#3519);
    PCIe devices lose less, hence the error."""
    small_pages: Parameter = Parameter(1.3, 0.2)
    """Latency in 4 KiB pages over that in huge ones. Chasing at random through large memory is the worst case, at 1.6
    to 2.1; real loads have neighbours."""
    gflops_per_core: Parameter = Parameter(30.0, 0.7)
    """What a core computes in practice where nothing is known of it: some tens of GFLOP/s of float32."""
    local_gb_per_s_per_core: Parameter = Parameter(5.0, 0.4)
    """Bandwidth of a node for each of its cores: 3 to 6.3 on the published machines with two sockets."""
    local_latency_ns: Parameter = Parameter(100.0, 0.2)
    """80 to 130 on the published machines."""
    model: Parameter = Parameter(0.05, 0.0)
    """Error of the log of any ratio that the model's simplicity makes, before ..."""
    model_share: Parameter = Parameter(0.30, 0.0)
    """... this share of what it predicts: an effect is believed to within 30%."""


VARIED = (
    "lines_in_flight",
    "smt_compute",
    "smt_latency",
    "crowding",
    "stray",
    "far_device",
    "small_pages",
    "gflops_per_core",
)
"""Those whose error is followed through the model; that of bandwidths and latencies is the machine's own."""
