"""Supervising from a process that has threads, as one that imported NumPy or torch has."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: a lost signal would hang, not fail.
PROGRAM = """
import threading
from numawise.launch.supervise import supervise
from numawise.machine import read
from numawise.placement.plan import plan
from numawise.placement.request import Request
threading.Thread(target=threading.Event().wait, daemon=True).start()
topology = read("/")
for _ in range(20):
    assert supervise(plan(topology, Request()), ["sh", "-c", "sleep 0.02; exit 3"], topology).exit_code == 3
print("done")
"""


def test_the_end_of_a_child_is_noticed_whichever_thread_is_told():
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, stdout=subprocess.PIPE, timeout=60)
    assert done.stdout == b"done\n"
