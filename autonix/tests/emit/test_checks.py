"""Checks of a flake are the commands by which the project checks itself."""

from autonix.emit.checks import checks_of
from autonix.emit.recipes import named_projects
from autonix.findings import Analysis, Command, Dependency, Ecosystem, Group, Project, Purpose, Step
from autonix.tests.emit.analyses import a_finding


def commands(analysis: Analysis) -> list[tuple[str, str]]:
    (named,) = named_projects(analysis)
    return [(check.name, check.run) for check in checks_of(named, analysis)]


def python(*scripts: Command, needs: tuple[str, ...] = ()) -> Project:
    dependencies = tuple(a_finding(Dependency(name, group=Group.DEVELOPMENT)) for name in needs)
    return Project(
        ".", Ecosystem.PYTHON, "pyproject.toml", scripts=tuple(map(a_finding, scripts)), dependencies=dependencies
    )


def ci(*texts: str) -> Analysis:
    steps = tuple(a_finding(Step("drone", "", text, Purpose.TEST)) for text in texts)
    return Analysis("x", projects=(python(needs=("ruff",)),), ci=steps)


def test_a_runner_that_makes_environments_is_left_out() -> None:
    own = python(Command("t", "pytest -q", "pdm", Purpose.TEST), Command("l", "ruff check", "make", Purpose.LINT))
    assert commands(Analysis("x", projects=(own,))) == [("x-t", "pytest -q"), ("x-l", "make l")]


def test_ci_s_commands_count_where_the_project_names_none() -> None:
    assert commands(ci("pip install .", "pytest -q", "ruff check .")) == [
        ("x-test-ci", "pytest -q"),
        ("x-test-ruff-1-ci", "ruff check ."),
    ]


def test_a_command_of_ci_that_needs_more_than_the_check_has_is_left_out() -> None:
    assert commands(ci("mypy .", "pytest $ARGS", "cd x && pytest", "pytest a\npytest b")) == []


def test_a_test_that_waits_for_changes_is_no_check() -> None:
    watching = python(
        Command("test:watch", "pytest", "make", Purpose.TEST), Command("t", "jest --watch", "make", Purpose.TEST)
    )
    assert commands(Analysis("x", projects=(watching,))) == []
