"""Say as one line of JSON where this process is, after so many seconds: `rank_report.py SECONDS WORD ...`."""

import json
import os
import sys
import time

time.sleep(float(sys.argv[1]))
with open("/proc/self/numa_maps") as maps:
    policy = maps.readline().split()[1]
names = ("LOCAL_RANK", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
report = {
    "cpus": sorted(os.sched_getaffinity(0)),
    "policy": policy,
    "environment": {name: os.environ[name] for name in names if name in os.environ},
    "words": sys.argv[2:],
}
# One write: lines of several processes must not mix.
os.write(1, (json.dumps(report) + "\n").encode())
