"""Rust, Go and C projects → buildRustPackage, buildGoModule and stdenv.mkDerivation; no other ecosystem."""

from typing import Final

from autonix.emit.recipe import Recipe, Tree, because, fake_hash, identity, meta, source, tools
from autonix.emit.toolchain import chosen
from autonix.emit.words import reasons
from autonix.explain import reason
from autonix.findings import Group, Project
from autonix.nixast import Apply, AttrSet, Commented, ListOf, Node, Path, Var, bind, call, names, text

RUST_TOOLS: Final = ("cargo", "rustc", "clippy", "rustfmt")
BUILD_FILES: Final = {
    "CMakeLists.txt": ("cmake",),
    "meson.build": ("meson", "ninja"),
    "configure.ac": ("autoreconfHook",),
    "configure": (),
    "Makefile": (),
}
"""What nixpkgs' setup hooks for a build file are called; they find it by themselves."""


def rust_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of a project in Rust; a pinned toolchain comes by rustup, which reads `rust-toolchain.toml`."""
    pins = [each for each in project.toolchain if "rust-toolchain" in each.file]
    shell: tuple[Node | Commented, ...] = tools(*RUST_TOOLS)
    if pins:
        shell = (
            Commented(f"{reason(pins[0])} pins {pins[0].value.constraint}: rustup reads it", names("pkgs.rustup")),
        )
    locked = tree.lock_of(project)
    if locked is None:
        return Recipe(None, "", shell, refusal="it has no Cargo.lock, so nothing says what to download")
    lock = AttrSet(
        (
            bind("lockFile", Path(locked.lock.file)),
            bind("allowBuiltinFetchGit", Var("true"), comment="git dependencies are pinned by their commit"),
        )
    )
    member = (bind("buildAndTestSubdir", text(locked.inside)),) if locked.inside else ()
    programs = tuple(each.value.name for each in project.entry_points)
    arguments = (
        *identity(project, root_name=tree.analysis.root_name),
        bind("src", source(locked.directory)),
        bind("cargoLock", lock, comment=reason(locked.lock)),
        *member,
        *meta(project, program=programs[0] if len(programs) == 1 else None),
    )
    package = call("pkgs.rustPlatform.buildRustPackage", AttrSet(arguments))
    return Recipe(
        package=package,
        because=because(project, "buildRustPackage"),
        tools=shell,
        programs=programs,
        check_tools=literal_list("clippy", "rustfmt"),
        inside=locked.inside,
    )


def go_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of a module in Go."""
    go = chosen(project, "go")
    why = reason(go.because) if go.because else "nothing asks for a version, so nixpkgs' default"
    runtime = [each for each in project.dependencies if each.value.group is Group.RUNTIME]
    vendor = fake_hash("vendorHash", f"what go.sum names, as {reasons(runtime)} says")
    if not runtime:
        vendor = bind("vendorHash", Var("null"), comment=f"{project.manifest} requires no other module")
    programs = tuple(each.value.name for each in project.entry_points)
    arguments = (
        *identity(project, root_name=tree.analysis.root_name),
        bind("src", source(project.path)),
        vendor,
        *meta(project, program=programs[0] if len(programs) == 1 else None),
    )
    builder = Apply(names("pkgs.buildGoModule.override"), (AttrSet((bind("go", go.node, comment=why),)),))
    package = Apply(builder, (AttrSet(arguments),)) if go.because else call("pkgs.buildGoModule", AttrSet(arguments))
    return Recipe(
        package=package,
        because=because(project, "buildGoModule"),
        tools=(Commented(why, go.node), *tools("gopls")),
        programs=programs,
        check_tools=literal_list("golangci-lint"),
    )


def c_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of a project in C or C++, by the hooks of its build system."""
    build_file = project.manifest.rpartition("/")[2]
    needed = tools(*BUILD_FILES.get(build_file, ()))
    arguments = (
        *identity(project, root_name=tree.analysis.root_name),
        bind("src", source(project.path)),
        bind("nativeBuildInputs", literal_list(*BUILD_FILES.get(build_file, ()))),
        *meta(project, program=None),
    )
    return Recipe(
        package=call("pkgs.stdenv.mkDerivation", AttrSet(arguments)),
        because=because(project, f"stdenv with the hooks for {build_file}"),
        tools=(*needed, *tools("gcc", "gnumake")),
        programs=tuple(each.value.name for each in project.entry_points),
    )


def literal_list(*wanted: str) -> Node:
    """`[ pkgs.a pkgs.b ]`."""
    return ListOf(tools(*wanted))
