"""The README's diagram is the table."""

from pathlib import Path

from ci_service.pipeline import FOLLOWS


def test_the_readme_draws_the_table() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text()
    drawn = {line.strip() for line in text.splitlines() if "-->" in line and "[*]" not in line}
    table = {f"{a.value} --> {b.value}".replace("-back", "_back") for a, after in FOLLOWS.items() for b in after}
    assert drawn == table
