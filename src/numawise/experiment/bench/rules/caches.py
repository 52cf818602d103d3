"""More than memory can give: part of the weights stayed in caches, and so its placement hardly matters."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts

_CACHED = 1.05


def advise(facts: Facts) -> Iterator[Advice]:
    """One sentence for all methods under the default placement that read faster than memory."""
    caches = sum(
        d.size_kib or 0 for d in facts.study.topology.l3_domains if d.cpus & facts.study.topology.allowed.cpus
    )
    for arm in facts.arms:
        share = arm.figures.get("share_of_read")
        if share is None or share <= _CACHED or not (arm.name == facts.study.default or arm.axis == "method"):
            continue
        yield Advice(
            rule="caches",
            sentence=(
                f"{arm.name}: {share:.0%} of what memory gives, so part of the weights stayed in caches "
                f"(last level: {caches / 1024:.0f} MiB). Too small for placement to matter: give a larger --scale."
            ),
            evidence={"arm": arm.name, "share_of_read": share, "caches_mib": caches / 1024},
            tone="doubt",
        )
