"""Rust, Go and C projects → buildRustPackage, buildGoModule and stdenv.mkDerivation; no other ecosystem."""

import shlex
from collections.abc import Iterator
from typing import Final

from autonix.emit.recipe import Recipe, Tree, because, fake_hash, identity, meta, source, tools
from autonix.emit.toolchain import chosen
from autonix.emit.words import reasons
from autonix.explain import reason
from autonix.findings import Group, Project
from autonix.mapping.systemlibs import PACKAGES
from autonix.nixast import (
    Apply,
    AttrSet,
    Binding,
    Commented,
    Lines,
    ListOf,
    Node,
    Path,
    Var,
    bind,
    call,
    literal,
    names,
    text,
)
from autonix.tasks import MAKEFILES

RUST_TOOLS: Final = ("cargo", "rustc", "clippy", "rustfmt")
BUILD_FILES: Final = {
    "CMakeLists.txt": ("cmake",),
    "meson.build": ("meson", "ninja"),
    "configure.ac": ("autoreconfHook",),
    "configure.in": ("autoreconfHook",),
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
    """The recipe of a project in C or C++, by the hooks of its build system; libraries by the names it looks for."""
    build_file = project.manifest.rpartition("/")[2]
    hooks = tools(*BUILD_FILES.get(build_file, ()))
    known = [each for each in project.dependencies if each.value.name.lower() in PACKAGES]
    wanted = list(dict.fromkeys(PACKAGES[each.value.name.lower()] for each in known))
    libraries = bind("buildInputs", call("present", Var("pkgs"), literal(wanted)), comment=reasons(known))
    native = (*hooks, *tools(*(["pkg-config"] if wanted else [])))
    programs = tuple(each.value.name for each in project.entry_points)
    arguments = (
        *identity(project, root_name=tree.analysis.root_name),
        bind("src", source(project.path)),
        bind("nativeBuildInputs", ListOf(native)),
        *((libraries,) if wanted else ()),
        *(_make_phases(project, tree) if build_file in MAKEFILES else ()),
        *meta(project, program=programs[0] if len(programs) == 1 else None),
    )
    return Recipe(
        package=call("pkgs.stdenv.mkDerivation", AttrSet(arguments)),
        because=because(project, f"stdenv with the hooks for {build_file}"),
        tools=(*native, *tools("gcc", "gnumake")),
        programs=programs,
    )


def _make_phases(project: Project, tree: Tree) -> Iterator[Binding]:
    """Where the Makefile installs: below a prefix; without such a target its program is copied."""
    targets = {each.value.name for each in tree.analysis.tasks if each.file == project.manifest}
    if "install" in targets or not project.entry_points:
        yield bind("makeFlags", literal(["PREFIX=$(out)"]))
        return
    names_ = shlex.join(each.value.name for each in project.entry_points)
    copied = f"runHook preInstall\ninstall -Dm755 -t $out/bin -- {names_}\nrunHook postInstall\n"
    yield bind("installPhase", Lines((copied,)), comment=f"{project.manifest} has no target `install`")


def literal_list(*wanted: str) -> Node:
    """`[ pkgs.a pkgs.b ]`."""
    return ListOf(tools(*wanted))
