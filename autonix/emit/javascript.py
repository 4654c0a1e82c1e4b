"""JavaScript projects → buildNpmPackage, or stdenv with yarn's or pnpm's hooks; no other ecosystem."""

import shlex

from autonix.emit.recipe import (
    Locked,
    Recipe,
    Tree,
    because,
    fake_hash,
    identity,
    interpolated,
    meta,
    name_of,
    source,
    tools,
)
from autonix.emit.toolchain import Chosen, chosen
from autonix.emit.words import below
from autonix.explain import reason
from autonix.findings import Project, Purpose
from autonix.nixast import (
    Apply,
    AttrSet,
    Binding,
    Commented,
    Inherit,
    Lambda,
    Lines,
    ListOf,
    Node,
    Path,
    Select,
    Var,
    bind,
    call,
    literal,
    names,
    text,
)

BERRY = {"6": "yarn-berry_3", "8": "yarn-berry_4"}
"""The version of a berry lock file (`__metadata.version`) and the yarn of nixpkgs that reads it."""

REFUSALS = {
    "deno": "nixpkgs has no builder for Deno (it took buildDenoPackage back), and what Deno keeps of its downloads is "
    "not the same twice, so no hash can stand for it",
}
"""Why there is no package for a lock file."""
_MODULES = "mkdir $out\nfind . -name node_modules -type d -prune -exec cp -r --parents {} $out \\;\n"

SHELL_TOOLS = {"pnpm": "pnpm", "yarn": "yarn", "bun": "bun", "deno": "deno"}


def javascript_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of a project in JavaScript or TypeScript."""
    node = chosen(project, "node")
    shell: tuple[Node | Commented, ...] = (Commented(why_node(node), node.node),)
    if project.manager and project.manager.value in SHELL_TOOLS:
        shell += (Commented(reason(project.manager), names(f"pkgs.{SHELL_TOOLS[project.manager.value]}")),)
    locked = tree.lock_of(project)
    if locked is None:
        return Recipe(None, "", shell, refusal="it has no lock file, so nothing says what to download")
    common = (*identity(project, root_name=tree.analysis.root_name), bind("src", source(locked.directory)))
    built = any(each.value.purpose is Purpose.BUILD and each.value.name == "build" for each in project.scripts)
    tool, version = locked.lock.value.tool, locked.lock.value.format
    package, home = None, below("lib/app", locked.inside) if locked.inside else "lib/app"
    if tool == "npm":
        package, home = _npm(project, locked, common, node, is_built=built), f"lib/node_modules/{name_of(project)}"
    elif tool == "yarn" and version in ("", "1"):
        package = _yarn(locked, common, node, is_built=built)
        home = home if locked.inside else f"lib/node_modules/{name_of(project)}"
    elif tool == "yarn" and version in BERRY:
        package = _berry(locked, common, node, yarn=BERRY[version], is_built=built)
    elif tool == "pnpm":
        package = _pnpm(locked, common, node, is_built=built)
    elif tool == "bun":
        package = _bun(locked, common, is_built=built)
    if package is None:
        return Recipe(None, "", shell, refusal=REFUSALS.get(tool, _unread(tool, version)))
    return Recipe(
        package=package,
        because=because(project, "the builder for its lock file, " + reason(locked.lock)),
        tools=shell,
        programs=() if home.startswith("lib/app") else tuple(each.value.name for each in project.entry_points),
        home=home,
        inside=locked.inside,
        run_tools=tools("bun") if tool == "bun" else (node.node,),
    )


def _unread(tool: str, version: str) -> str:
    """Of a lock in a form that autonix knows no builder for."""
    return f"autonix knows no builder of nixpkgs for a lock file of {tool}" + (f" in version {version}" * bool(version))


def _npm(project: Project, locked: Locked, common: tuple[Binding, ...], node: Chosen, *, is_built: bool) -> Node:
    workspace = (bind("npmWorkspace", text(locked.inside)),) if locked.inside else ()
    unbuilt = () if is_built else (bind("dontNpmBuild", Var("true"), comment="package.json has no script `build`"),)
    lock = call("pkgs.importNpmLock", AttrSet((bind("npmRoot", source(locked.directory)),)))
    arguments = (
        *common,
        bind("nodejs", node.node, comment=why_node(node)),
        bind("npmDeps", lock, comment="the lock file has the hashes, so no other is needed"),
        bind("npmConfigHook", names("pkgs.importNpmLock.npmConfigHook")),
        *workspace,
        *unbuilt,
        *meta(project, program=None),
    )
    return call("pkgs.buildNpmPackage", AttrSet(arguments))


def _yarn(locked: Locked, common: tuple[Binding, ...], node: Chosen, *, is_built: bool) -> Node:
    cache = AttrSet((bind("yarnLock", Path(locked.lock.file)), fake_hash("hash", "what yarn.lock names")))
    hooks = ("yarnConfigHook", *(("yarnBuildHook",) if is_built else ()), "yarnInstallHook")
    member = bool(locked.inside)
    arguments = (
        *common,
        bind("yarnOfflineCache", call("pkgs.fetchYarnDeps", cache)),
        bind("nativeBuildInputs", ListOf((*tools(*(("yarnConfigHook", "yarn") if member else hooks)), node.node))),
        *(_phases(locked, "yarn --offline run build" if is_built else "") if member else ()),
    )
    return call("pkgs.stdenv.mkDerivation", AttrSet(arguments))


def _berry(locked: Locked, common: tuple[Binding, ...], node: Chosen, *, yarn: str, is_built: bool) -> Node:
    fetched = AttrSet((Inherit(("src",), Var("final")), fake_hash("hash", "what yarn.lock names")))
    arguments = (
        *common,
        bind("offlineCache", call(f"pkgs.{yarn}.fetchYarnBerryDeps", fetched)),
        bind("nativeBuildInputs", ListOf((node.node, *tools(yarn, f"{yarn}.yarnBerryConfigHook")))),
        *_phases(locked, "yarn run build" if is_built else ""),
    )
    return Apply(names("pkgs.stdenv.mkDerivation"), (Lambda("final", AttrSet(arguments)),))


def _phases(locked: Locked, build: str) -> tuple[Binding, Binding]:
    """The whole tree is the package, as a start command needs its node_modules."""
    there = f"(cd {shlex.quote('./' + locked.inside)} && {build})" if locked.inside else build
    built = f"runHook preBuild\n{there}\nrunHook postBuild\n" if build else "runHook preBuild\nrunHook postBuild\n"
    installed = "runHook preInstall\nmkdir -p $out/lib/app\ncp -r . $out/lib/app\nrunHook postInstall\n"
    return bind("buildPhase", Lines((built,))), bind("installPhase", Lines((installed,)))


def _pnpm(locked: Locked, common: tuple[Binding, ...], node: Chosen, *, is_built: bool) -> Node:
    fetched = AttrSet(
        (
            Inherit(("pname", "version", "src"), Var("final")),
            bind("fetcherVersion", literal(3)),
            fake_hash("hash", "what pnpm-lock.yaml names"),
        )
    )
    arguments = (
        *common,
        bind("pnpmDeps", call("pkgs.fetchPnpmDeps", fetched)),
        bind("nativeBuildInputs", ListOf((node.node, *tools("pnpm", "pnpmConfigHook")))),
        *_phases(locked, "pnpm run build" if is_built else ""),
    )
    return Apply(names("pkgs.stdenv.mkDerivation"), (Lambda("final", AttrSet(arguments)),))


def _bun(locked: Locked, common: tuple[Binding, ...], *, is_built: bool) -> Node:
    """As nixpkgs' own packages of bun do: what it downloads is one derivation, whose hash the first build prints."""
    fetched = AttrSet(
        (
            Inherit(("version", "src"), Var("final")),
            bind("pname", interpolated(Select(Var("final"), ("pname",)), "-modules")),
            bind("nativeBuildInputs", ListOf(tools("bun", "writableTmpDirAsHomeHook"))),
            bind("dontConfigure", Var("true")),
            bind("buildPhase", Lines(("bun install --frozen-lockfile --no-progress --ignore-scripts\n",))),
            bind("installPhase", Lines((_MODULES,)), comment="A workspace's members may have modules of their own."),
            bind("dontFixup", Var("true")),
            bind("outputHashMode", text("recursive")),
            fake_hash("outputHash", f"what {locked.lock.file} names"),
        )
    )
    arguments = (
        *common,
        bind("bunModules", call("pkgs.stdenvNoCC.mkDerivation", fetched)),
        bind("nativeBuildInputs", ListOf(tools("bun"))),
        bind("configurePhase", Lines(('cp -r "$bunModules/." .\nchmod -R u+w .\n',))),
        *_phases(locked, "bun run build" if is_built else ""),
    )
    return Apply(names("pkgs.stdenv.mkDerivation"), (Lambda("final", AttrSet(arguments)),))


def why_node(node: Chosen) -> str:
    """Why it is this version."""
    return reason(node.because) if node.because else "nothing asks for a version, so nixpkgs' default"
