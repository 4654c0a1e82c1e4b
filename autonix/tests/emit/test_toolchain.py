"""Which package of nixpkgs a project's words about versions choose."""

from dataclasses import replace

import pytest

from autonix.emit.toolchain import chosen, pinned, with_tools_of_ci
from autonix.findings import Analysis, Ecosystem, Project, Setup, Toolchain
from autonix.printer import show
from autonix.tests.emit.analyses import a_finding


@pytest.mark.parametrize(
    ("constraint", "version"),
    [
        ("20", (20, None)),
        ("v20.11.1", (20, 11)),
        ("^20.1", (20, 1)),
        ("~18", (18, None)),
        ("20.x", (20, None)),
        ("^18 || ^20", (20, None)),
        ("==3.11.*", (3, 11)),
        (">=3.9,<3.12", (3, 11)),
        (">=3.9 <3.12", (3, 11)),
        ("<=3.10", (3, 10)),
        (">=18", None),
        (">18", None),
        (">=3.9,<4", None),
        ("<4.0", None),
        ("!=3.9", None),
        ("*", None),
        ("", None),
        ("lts/iron", None),
        ("||", None),
    ],
)
def test_a_pin_chooses_and_a_lower_bound_does_not(constraint: str, version: tuple[int, int | None] | None) -> None:
    assert pinned(constraint) == version


def test_for_python_a_caret_is_no_pin() -> None:
    assert pinned("^3.11", caret=False) is None
    assert pinned("~=3.11", caret=False) is None
    assert pinned("~3.11", caret=False) == (3, 11)


def asking(*wanted: tuple[str, str]) -> Project:
    toolchain = tuple(a_finding(Toolchain(tool, constraint)) for tool, constraint in wanted)
    return Project(".", Ecosystem.JAVASCRIPT, "package.json", toolchain=toolchain)


@pytest.mark.parametrize(
    ("tool", "wanted", "expression"),
    [
        ("node", [("node", ">=18")], "pkgs.nodejs"),
        ("node", [("node", "20")], "pkgs.nodejs_20 or pkgs.nodejs"),
        ("node", [("node", ">=18"), ("node", "22.1.0")], "pkgs.nodejs_22 or pkgs.nodejs"),
        ("node", [("npm", "10")], "pkgs.nodejs"),
        ("python", [("python", "3.12.4")], "pkgs.python312 or pkgs.python3"),
        ("python", [("python", "3")], "pkgs.python3"),
        ("java", [("java", "1.8")], "pkgs.jdk8 or pkgs.jdk"),
        ("java", [("java", "21")], "pkgs.jdk21 or pkgs.jdk"),
        ("go", [("go", "1.22")], "pkgs.go_1_22 or pkgs.go"),
        ("go", [], "pkgs.go"),
    ],
)
def test_the_package_is_the_pinned_one_with_the_default_behind_it(
    tool: str, wanted: list[tuple[str, str]], expression: str
) -> None:
    assert show(chosen(asking(*wanted), tool).node) == f"{expression}\n"


def test_ci_s_only_version_is_taken_where_the_project_asks_for_none() -> None:
    project = Project(".", Ecosystem.GO, "go.mod")
    once = Analysis(
        "x", ci_tools=(a_finding(Setup("github", "go", "1.22.x")), a_finding(Setup("drone", "go", "1.22.x")))
    )
    assert [each.value.constraint for each in with_tools_of_ci(project, once).toolchain] == ["1.22.x"]
    several = Analysis("x", ci_tools=(*once.ci_tools, a_finding(Setup("github", "go", "1.21"))))
    assert with_tools_of_ci(project, several) == project
    own = replace(project, toolchain=(a_finding(Toolchain("go", ">=1.20")),))
    assert with_tools_of_ci(own, once) == own
