"""The package's README is held to the code: its diagram to the table, its file map to the files."""

from pathlib import Path

from control_plane.rollout.table import diagram

PACKAGE = Path(__file__).parent.parent
README = (PACKAGE / "README.md").read_text()


def test_the_diagram_is_the_table() -> None:
    assert f"```mermaid\n{diagram()}\n```" in README


def test_the_map_names_every_module() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if "tests" not in path.parts and path.name != "__init__.py"]
    missing = [str(path.relative_to(PACKAGE)) for path in modules if f"`{path.relative_to(PACKAGE)}`" not in README]
    assert missing == []
