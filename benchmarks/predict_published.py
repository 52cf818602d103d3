"""Does the model foresee what others published? Its parameters come from elsewhere; these results are held against it.

    python benchmarks/predict_published.py [--json]

Each row is a published change of placement: the speed afterwards over the speed before, as the model expects it for
a work of that kind on such a machine, and as it was published. benchmarks/published_workloads.json holds the rows and
what each work is taken to be.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from numawise.cli.shared.selection import parse_words, request_from
from numawise.experiment.predict import Machine, Work, expectations, from_priors, from_published
from numawise.experiment.predict.work import from_shares
from numawise.machine import published
from numawise.machine.published import Published
from numawise.placement.plan import plan
from numawise.placement.values import Plan

DELTA = 0.02
"""Changes up to this share count as no difference, as everywhere in numawise."""


class Row(msgspec.Struct, frozen=True):
    """One published change of placement; speeds are after over before."""

    name: str
    source: str
    predicted: float
    low: float
    high: float
    published: float
    reason: str

    @property
    def right(self) -> bool:
        """Faster, slower or no difference, as published."""
        return direction(self.predicted) == direction(self.published)


def direction(speed: float) -> int:
    """1 faster, -1 slower, 0 no difference."""
    return 0 if abs(math.log(speed)) <= math.log1p(DELTA) else 1 if speed > 1 else -1


def rows() -> tuple[Row, ...]:
    """Every case of the file, predicted."""
    held = json.loads(Path(__file__).with_name("published_workloads.json").read_text("utf-8"))
    return tuple(_row(case, held["works"][case["work"]]) for case in held["cases"])


def _row(case: Mapping[str, Any], kind: Mapping[str, Any]) -> Row:
    machine = _machine(case["machine"])
    before, after = (_arm(case[side], machine) for side in ("from", "to"))
    works = [_work(kind, machine, case, case[side]) for side in ("from", "to")]
    found = expectations(works[1], machine, before, [after], default_work=works[0])[0]
    least, most = case["published"]
    return Row(
        name=case["name"],
        source=case["source"],
        predicted=1 / found.ratio,
        low=1 / found.high,
        high=1 / found.low,
        published=math.sqrt(least * most),
        reason=found.reason,
    )


def _machine(wanted: str | Mapping[str, int]) -> Machine:
    if isinstance(wanted, str):
        return from_published(published.get(wanted))
    like = Published(
        title="",
        model_name="",
        vendor="intel",
        architecture="x86_64",
        sockets=wanted["sockets"],
        nodes_per_socket=1,
        cores_per_socket=wanted["cores"],
        threads_per_core=wanted["threads_per_core"],
        l3_domains_per_socket=1,
        l3_kib_per_domain=32768,
        ghz=1.0,
        flops_per_cycle=1,
        memory_gib_per_node=1024,
        links=(),
        source="",
        specification="",
        origins={},
    )
    return from_priors(like.topology())


def _arm(arm: Mapping[str, Any], machine: Machine) -> Plan:
    values, _ = parse_words(shlex.split(arm.get("select", "")))
    made = plan(machine.topology, request_from(values, machine.topology))
    told = {name: arm[name] for name in ("workers", "threads") if name in arm}
    placements = tuple(msgspec.structs.replace(placement, **told) for placement in made.placements)
    return Plan(placements)


def _work(kind: Mapping[str, Any], machine: Machine, case: Mapping[str, Any], arm: Mapping[str, Any]) -> Work:
    facts = dict(case.get("facts", {}))
    if "first_touch" in arm:
        facts["first_touch"] = arm["first_touch"]
    return from_shares(machine, **kind["shares"], **facts)


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Correlation of the ranks; equal values share theirs."""
    a, b = _ranks(one), _ranks(other)
    return statistics.correlation(a, b)


def _ranks(values: Sequence[float]) -> list[float]:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = rows()
    rank = spearman([row.predicted for row in found], [row.published for row in found])
    if options.json:
        listed = [{**msgspec.structs.asdict(row), "right": row.right} for row in found]
        print(json.dumps({"rows": listed, "spearman": rank}, indent=1))
        return
    for row in found:
        print(
            f"{row.name:68.68} {row.predicted:5.2f} [{row.low:4.2f}-{row.high:5.2f}]  {row.published:5.2f}  "
            f"{row.predicted / row.published:4.2f} {'' if row.right else 'WRONG DIRECTION'} {row.reason}"
        )
    right = sum(row.right for row in found)
    inside = sum(row.low <= row.published <= row.high for row in found)
    print(f"Spearman {rank:.2f} over {len(found)}, direction right in {right}, inside the 95 % bar {inside}")


if __name__ == "__main__":
    main()
