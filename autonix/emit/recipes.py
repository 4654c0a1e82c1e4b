"""Which ecosystem's module makes a project's recipe, and what each project's attribute is called; it prints nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from autonix.emit.compiled import c_recipe, go_recipe, rust_recipe
from autonix.emit.dotnet import dotnet_recipe
from autonix.emit.haskell import haskell_recipe
from autonix.emit.java import java_recipe
from autonix.emit.javascript import javascript_recipe
from autonix.emit.managed import managed_recipe
from autonix.emit.php import php_recipe
from autonix.emit.python import python_recipe
from autonix.emit.recipe import Recipe, Tree, short_name
from autonix.emit.ruby import ruby_recipe
from autonix.emit.toolchain import with_tools_of_ci
from autonix.emit.words import distinct, dns_label
from autonix.findings import Analysis, Ecosystem, Project

RECIPES: Final[Mapping[Ecosystem, Callable[[Project, Tree], Recipe]]] = {
    Ecosystem.PYTHON: python_recipe,
    Ecosystem.JAVASCRIPT: javascript_recipe,
    Ecosystem.RUST: rust_recipe,
    Ecosystem.GO: go_recipe,
    Ecosystem.C: c_recipe,
    Ecosystem.JAVA: java_recipe,
    Ecosystem.DOTNET: dotnet_recipe,
    Ecosystem.HASKELL: haskell_recipe,
    Ecosystem.RUBY: ruby_recipe,
    Ecosystem.PHP: php_recipe,
}
"""The others are `managed_recipe`'s."""


@dataclass(frozen=True, slots=True)
class Named:
    """A project, what its attributes in the flake are called, and how it is built."""

    name: str
    project: Project
    recipe: Recipe


def named_projects(analysis: Analysis) -> tuple[Named, ...]:
    """Every project with its recipe, in the analysis' order; a workspace's root that is no package itself is none."""
    found: list[Named] = []
    for each in analysis.projects:
        if each.name is None and each.members and each.ecosystem is not Ecosystem.ELIXIR:
            continue
        project = with_tools_of_ci(each, analysis)
        wanted = dns_label(short_name(project, root_name=analysis.root_name))
        # `default` is the flake's own word.
        name = distinct(wanted, (*(one.name for one in found), "default"))
        found.append(
            Named(name, project, RECIPES.get(project.ecosystem, managed_recipe)(project, Tree(analysis, name)))
        )
    return tuple(found)
