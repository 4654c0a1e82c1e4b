"""The rules together: whatever the files hold, an analysis comes out, in order, and nothing of the tree was run."""

import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from autonix.explain import findings_of, reason
from autonix.findings import Confidence
from autonix.scan import analyse
from autonix.tests.archive import repositories, repository
from autonix.understand import counted, understand, wanted

REPOSITORIES = {item.name: item for item in repositories()}


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, str]:
    """The files of a labelled repository with pieces cut out, doubled or replaced."""
    files = dict(REPOSITORIES[draw(st.sampled_from(sorted(REPOSITORIES)))].files)
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(sorted(files)))
        text = files[path]
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 40)))
        pieces = ["", text[start:end] * 3, "[", "}", '"', "null", "-1", "${x}", "\n\n", "[]", "{}", ":"]
        piece = draw(st.sampled_from(pieces))
        files[path] = text[:start] + piece + text[end:]
    return files


@settings(max_examples=150, deadline=None)
@given(damaged())
def test_damaged_files_never_break_the_analysis(files: dict[str, str]) -> None:
    analysis = understand("damaged", sorted(files), files)
    assert analysis == understand("damaged", sorted(files), dict(reversed(files.items())))
    names = [service.name for service in analysis.services] + [container.name for container in analysis.containers]
    assert len(names) == len(set(names))
    for finding in findings_of(analysis):
        assert finding.file in files
        assert 1 <= finding.line <= files[finding.file].count("\n") + 1
    assert not any(
        finding.confidence is Confidence.POSSIBLE
        for service in analysis.services
        for finding in findings_of((service.kind, service.version))
    )


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["package.json", "composer.json", "compose.yaml", "Cargo.toml", "pyproject.toml"]), st.data())
def test_values_of_a_wrong_type_never_break_the_analysis(name: str, data: st.DataObject) -> None:
    keys = st.sampled_from(
        ["name", "version", "scripts", "dependencies", "services", "project", "package", "workspace", "tool", "bin"]
    )
    scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "../..", "/", "*", "1.0"])
    nested = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    )
    value = data.draw(st.dictionaries(keys, nested))
    text = tomli_w.dumps(_without_none(value)) if name.endswith("toml") else json.dumps(value)
    understand("wrong", (name,), {name: text})


def _without_none(value: Any) -> Any:
    """TOML has no null."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value if item is not None] if isinstance(value, list) else value


async def test_setup_py_is_read_and_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    root = repository("python-setup-py").write(tmp_path / "repository")
    script = root / "setup.py"
    script.write_text(script.read_text().replace("/tmp/autonix-ran-setup-py", str(ran)))
    analysis = await analyse(root)
    assert [project.name.value for project in analysis.projects if project.name] == ["old-timer"]
    assert not ran.exists()


async def test_no_secret_value_is_in_an_analysis(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOKEN=real-secret\n")
    (tmp_path / ".env.example").write_text(
        "API_KEY=example-secret\nDB=postgres://u:hidden@h/x\nPORT=80\nPUBLIC_KEY_ID=7\n"
    )
    analysis = await analyse(tmp_path)
    assert "real-secret" not in repr(analysis)
    assert "example-secret" not in repr(analysis)
    assert "hidden" not in repr(analysis)
    assert {item.value.name: (item.value.default, item.value.secret) for item in analysis.env} == {
        "API_KEY": (None, True),
        "DB": (None, True),
        "PORT": ("80", False),
        "PUBLIC_KEY_ID": ("7", False),
    }


async def test_env_files_that_may_be_real_stay_closed(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / "config").mkdir(parents=True)
    (tmp_path / "outside.env").write_text("A=outside-value\n")
    (root / ".env").write_text("B=real-value\n")
    (root / ".env.production").write_text("C=production-value\n")
    (root / "config/web.env").write_text("D=web-value\nPASSWORD=web-secret\n")
    (root / "config/link.env").symlink_to("../../outside.env")
    files = "[.env, .env.production, ../outside.env, config/web.env, config/link.env]"
    (root / "compose.yml").write_text(f"services: {{web: {{image: x, env_file: {files}}}}}\n")
    analysis = await analyse(root)
    (web,) = analysis.containers
    assert [(each.value.name, each.value.default) for each in web.env] == [("D", "web-value"), ("PASSWORD", None)]
    assert [each.file for each in analysis.skipped] == ["config/link.env"]
    assert not any(f"{word}-value" in repr(analysis) for word in ("outside", "real", "production"))


async def test_a_finding_says_where_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("// the module\nmodule example.org/x\n")
    (project,) = (await analyse(tmp_path)).projects
    assert project.name is not None
    assert reason(project.name) == "go.mod:2 (go.module, certain)"


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("a/package.json", True),
        ("node_modules/x/package.json", False),
        ("docs/package.json", False),
        ("apps/docs/package.json", True),
        ("vendor", True),
    ],
)
def test_other_people_s_code_does_not_count(path: str, counts: bool) -> None:
    assert (counted((path,)) == (path,)) is counts


def test_only_what_a_rule_reads_is_wanted() -> None:
    assert wanted("a/requirements/base.txt")
    assert wanted("x.Dockerfile")
    assert not wanted("src/main.rs")
    assert not wanted(".env")
