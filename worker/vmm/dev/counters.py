"""The counters of `vm.counters` in the real one's names and units, from QEMU's and a tap's; it asks neither."""

from worker.vmm.dev.answers import Json
from worker.vmm.dev.vm_config import number

NO_SAMPLE = 2**64 - 1
NO_AVERAGE = NO_SAMPLE // 10_000
"""What a real one says of an idle disk's latencies."""
LATENCIES = tuple(f"{way}_latency_{kind}" for way in ("read", "write") for kind in ("min", "max", "avg"))
TAP_COUNTERS = {
    "tx_bytes": "rx_bytes",
    "tx_frames": "rx_packets",
    "rx_bytes": "tx_bytes",
    "rx_frames": "tx_packets",
}
"""The guest's counter → the tap's: what the guest sends, the host receives."""


def disk_counters(statistics: Json) -> dict[str, int]:
    """A disk's counters in the real one's names; latencies in µs, or its sentinels before any I/O."""
    counters = {
        "read_ops": number(statistics.get("rd_operations")),
        "read_bytes": number(statistics.get("rd_bytes")),
        "write_ops": number(statistics.get("wr_operations")),
        "write_bytes": number(statistics.get("wr_bytes")),
    }
    for name in LATENCIES:
        way, _, kind = name.split("_")
        short = {"read": "rd", "write": "wr"}[way]
        operations = counters[f"{way}_ops"]
        average = number(statistics.get(f"{short}_total_time_ns")) // 1000 // max(1, operations)
        idle = NO_AVERAGE if kind == "avg" else NO_SAMPLE
        counters[name] = average if operations else idle
    return counters
