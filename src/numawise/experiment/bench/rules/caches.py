"""More than memory can give: part of the weights stayed in caches, and so its placement hardly matters."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts

_CACHED = 1.05
_TOO_LARGE = 4.0
"""What is read in a pass, against the caches: from here on hardly any of it can still be in them a pass later."""


def advise(facts: Facts) -> Iterator[Advice]:
    """One sentence for all methods under the default placement that read faster than memory."""
    caches = sum(
        d.size_kib or 0 for d in facts.study.topology.l3_domains if d.cpus & facts.study.topology.allowed.cpus
    )
    for arm in facts.arms:
        share, rate, seconds = (arm.figures.get(key) for key in ("share_of_read", "gb_per_s", "seconds"))
        first = arm.name == facts.study.default or arm.axis == "method"
        if share is None or rate is None or seconds is None or share <= _CACHED or not first:
            continue
        read_mib = rate * 1e9 * seconds / 2**20
        evidence: dict[str, float | int | str | None] = {
            "arm": arm.name, "share_of_read": share, "read_mib": read_mib, "caches_mib": caches / 1024,
        }  # fmt: skip
        if caches and read_mib > _TOO_LARGE * caches / 1024:
            yield Advice(
                rule="caches",
                sentence=(
                    f"{arm.name}: {share:.0%} of the read bandwidth, yet {read_mib:.0f} MiB a pass fit into no cache "
                    "here: the machine was not the same while the two were measured. Do not rely on this share."
                ),
                evidence=evidence,
                tone="doubt",
            )
            continue
        yield Advice(
            rule="caches",
            sentence=(
                f"{arm.name}: {share:.0%} of what memory gives, so part of the weights stayed in caches "
                f"(last level: {caches / 1024:.0f} MiB). Too small for placement to matter: give a larger --scale."
            ),
            evidence=evidence,
            tone="doubt",
        )
