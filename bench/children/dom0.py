"""On a real Xen: Xen's own Python binding. Answers lines "case count" with the nanoseconds a call took."""

import sys
import time

import xen.lowlevel.xc

xc = xen.lowlevel.xc.xc()
cases = {"physinfo": xc.physinfo}

for line in sys.stdin:
    what, count = line.split()
    call = cases[what]
    start = time.monotonic_ns()
    for _ in range(int(count)):
        call()
    print((time.monotonic_ns() - start) / int(count), flush=True)
