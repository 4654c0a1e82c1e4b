"""Ecosystems whose builders need little: Maven, Composer, Mix, Zig; and what to say of those that need more."""

from typing import Final

from autonix.emit.recipe import Recipe, Tree, because, fake_hash, identity, meta, source, tools
from autonix.emit.toolchain import chosen
from autonix.explain import reason
from autonix.findings import Ecosystem, Project
from autonix.nixast import AttrSet, Binding, Commented, Inherit, Lambda, ListOf, Node, bind, call, names

SHELLS: Final = {
    Ecosystem.JAVA: ("java", ("maven", "gradle")),
    Ecosystem.DOTNET: ("dotnet", ()),
    Ecosystem.RUBY: ("ruby", ("bundler",)),
    Ecosystem.PHP: ("php", ("phpPackages.composer",)),
    Ecosystem.ELIXIR: ("elixir", ()),
    Ecosystem.HASKELL: ("", ("ghc", "cabal-install")),
    Ecosystem.ZIG: ("zig", ()),
}
"""The tool whose version is chosen, and what stands beside it in the shell."""

REFUSALS: Final = {
    Ecosystem.DOTNET: "buildDotnetModule wants a deps.json that `nix build .#NAME.fetch-deps` makes",
    Ecosystem.RUBY: "bundlerEnv wants a gemset.nix that `bundix` makes from Gemfile.lock",
    Ecosystem.HASKELL: "callCabal2nix builds while it evaluates; `cabal2nix . > package.nix` makes the file to import",
    Ecosystem.NIX: "it is Nix already",
}
"""Why there is no package, and what would make one possible."""


def managed_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of a project in an ecosystem of `SHELLS`, or of Nix."""
    shell = _shell(project)
    refusal = REFUSALS.get(project.ecosystem)
    if project.ecosystem is Ecosystem.JAVA and project.manifest.rpartition("/")[2] != "pom.xml":
        refusal = "gradle.fetchDeps wants a deps.json that its update script makes; sbt has no builder in nixpkgs"
    if refusal is not None:
        return Recipe(None, "", shell, refusal=refusal)
    common = (*identity(project, root_name=tree.analysis.root_name), bind("src", source(project.path)))
    described = meta(project, program=None)
    match project.ecosystem:
        case Ecosystem.JAVA:
            hashed = fake_hash("mvnHash", "what pom.xml names")
            package: Node = call("pkgs.maven.buildMavenPackage", AttrSet((*common, hashed, *described)))
        case Ecosystem.PHP:
            hashed = fake_hash("vendorHash", "what composer.lock names")
            package = call("pkgs.php.buildComposerProject2", AttrSet((*common, hashed, *described)))
        case Ecosystem.ELIXIR:
            package = call("pkgs.beamPackages.mixRelease", _mix(common, described))
        case _:
            hooks = bind("nativeBuildInputs", ListOf(tools("zig.hook")))
            package = call("pkgs.stdenv.mkDerivation", AttrSet((*common, hooks, *described)))
    programs = tuple(each.value.name for each in project.entry_points)
    return Recipe(package, because(project, "nixpkgs' builder for it"), shell, programs=programs)


def _mix(common: tuple[Binding, ...], described: tuple[Binding, ...]) -> Node:
    inherited = Inherit(("pname", "version", "src"), names("final"))
    fetched = call("pkgs.beamPackages.fetchMixDeps", AttrSet((inherited, fake_hash("hash", "what mix.lock names"))))
    # mixRelease takes a set only, so the set is built around itself.
    body = AttrSet((*common, bind("mixFodDeps", fetched), *described))
    return call("lib.fix", Lambda("final", body))


def _shell(project: Project) -> tuple[Node | Commented, ...]:
    tool, beside = SHELLS.get(project.ecosystem, ("", ("nixfmt",)))
    if not tool:
        return tools(*beside)
    picked = chosen(project, tool)
    why = reason(picked.because) if picked.because else "nothing asks for a version, so nixpkgs' default"
    return (Commented(why, picked.node), *tools(*beside))
