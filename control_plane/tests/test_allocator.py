"""What a process holds after it has freed large blocks between small ones."""

import subprocess
import sys

HELD = """
import re, sys
from control_plane.allocator import map_large_blocks

def held_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) / 1024

if sys.argv[1] == "mapped":
    map_large_blocks()
before, small, large = held_mb(), [], []
for _ in range(3000):
    large.append(bytearray(b"x") * 35_000)
    small.append(bytearray(b"x") * 600)
del large
print(held_mb() - before)
"""


def test_freed_blocks_that_lay_between_small_ones_are_given_back() -> None:
    held = {}
    for how in ("mapped", "default"):
        done = subprocess.run([sys.executable, "-c", HELD, how], check=True, capture_output=True, text=True, timeout=60)
        held[how] = float(done.stdout)
    assert held["mapped"] < 10, held
    assert held["default"] > 80, held
