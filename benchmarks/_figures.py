"""One figure of a benchmark and how it is printed; it measures nothing."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with its unit, its goal (empty: reported only) and what it is measured against.

    `runs` is how many runs `value` is the median of, or those runs themselves.
    """

    name: str
    value: float
    unit: str
    goal: str
    peer: str
    runs: int | list[float]

    def show(self, *, as_json: bool) -> None:
        """Print one row of the table, or one JSON object a line."""
        if as_json:
            print(json.dumps(asdict(self)), flush=True)
        else:
            print(f"{self.name:26} {self.value:8} {self.unit:8} {self.goal:7} {self.peer}", flush=True)
