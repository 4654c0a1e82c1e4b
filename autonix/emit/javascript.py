"""JavaScript projects → buildNpmPackage, or stdenv with yarn's or pnpm's hooks; no other ecosystem."""

from autonix.emit.recipe import Recipe, Tree, because, fake_hash, identity, meta, name_of, source, tools
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
    Var,
    bind,
    call,
    literal,
    names,
    text,
)

BERRY = {"6": "yarn-berry_3", "8": "yarn-berry_4"}
"""The version of a berry lock file (`__metadata.version`) and the yarn of nixpkgs that reads it."""

SHELL_TOOLS = {"pnpm": "pnpm", "yarn": "yarn", "bun": "bun"}


def javascript_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of a project in JavaScript or TypeScript."""
    node = chosen(project, "node")
    why = reason(node.because) if node.because else "nothing asks for a version, so nixpkgs' default"
    shell: tuple[Node | Commented, ...] = (Commented(why, node.node),)
    if project.manager and project.manager.value in SHELL_TOOLS:
        shell += (Commented(reason(project.manager), names(f"pkgs.{SHELL_TOOLS[project.manager.value]}")),)
    owner = tree.owner_of_lock(project)
    if owner is None or owner.lock is None:
        return Recipe(None, "", shell, refusal="it has no lock file, so nothing says what to download")
    common = (*identity(project, root_name=tree.analysis.root_name), bind("src", source(owner.path)))
    built = any(each.value.purpose is Purpose.BUILD and each.value.name == "build" for each in project.scripts)
    home = f"lib/node_modules/{name_of(project)}"
    match owner.lock.value.tool:
        case "npm":
            package = _npm(project, owner, common, node, is_built=built, why=why)
        case "yarn" if owner.lock.value.format in ("", "1"):
            package = _yarn(owner, common, node, is_built=built)
        case "yarn" if owner.lock.value.format in BERRY:
            package = _berry(common, node, BERRY[owner.lock.value.format], is_built=built)
            home = "lib/app"
        case "pnpm":
            package = _pnpm(common, node, is_built=built)
            home = "lib/app"
        case tool:
            return Recipe(None, "", shell, refusal=f"nixpkgs has no builder for this lock file of {tool}")
    return Recipe(
        package=package,
        because=because(project, "the builder for its lock file, " + reason(owner.lock)),
        tools=shell,
        programs=tuple(each.value.name for each in project.entry_points),
        home=below(home, project.path) if project is not owner and home == "lib/app" else home,
        run_tools=(node.node,),
    )


def _npm(
    project: Project, owner: Project, common: tuple[Binding, ...], node: Chosen, *, is_built: bool, why: str
) -> Node:
    workspace = () if project is owner else (bind("npmWorkspace", text(project.path)),)
    unbuilt = () if is_built else (bind("dontNpmBuild", Var("true"), comment="package.json has no script `build`"),)
    lock = call("pkgs.importNpmLock", AttrSet((bind("npmRoot", source(owner.path)),)))
    arguments = (
        *common,
        bind("nodejs", node.node, comment=why),
        bind("npmDeps", lock, comment="the lock file has the hashes, so no other is needed"),
        bind("npmConfigHook", names("pkgs.importNpmLock.npmConfigHook")),
        *workspace,
        *unbuilt,
        *meta(project, program=None),
    )
    return call("pkgs.buildNpmPackage", AttrSet(arguments))


def _yarn(owner: Project, common: tuple[Binding, ...], node: Chosen, *, is_built: bool) -> Node:
    lock = Path(owner.lock.file if owner.lock else "yarn.lock")
    cache = AttrSet((bind("yarnLock", lock), fake_hash("hash", "what yarn.lock names")))
    hooks = ("yarnConfigHook", *(("yarnBuildHook",) if is_built else ()), "yarnInstallHook")
    arguments = (
        *common,
        bind("yarnOfflineCache", call("pkgs.fetchYarnDeps", cache)),
        bind("nativeBuildInputs", ListOf((*tools(*hooks), node.node))),
    )
    return call("pkgs.stdenv.mkDerivation", AttrSet(arguments))


def _berry(common: tuple[Binding, ...], node: Chosen, yarn: str, *, is_built: bool) -> Node:
    fetched = AttrSet((Inherit(("src",), Var("final")), fake_hash("hash", "what yarn.lock names")))
    arguments = (
        *common,
        bind("offlineCache", call(f"pkgs.{yarn}.fetchYarnBerryDeps", fetched)),
        bind("nativeBuildInputs", ListOf((node.node, *tools(yarn, f"{yarn}.yarnBerryConfigHook")))),
        *_phases("yarn run build" if is_built else ""),
    )
    return Apply(names("pkgs.stdenv.mkDerivation"), (Lambda("final", AttrSet(arguments)),))


def _phases(build: str) -> tuple[Binding, Binding]:
    """The whole tree is the package, as a start command needs its node_modules."""
    built = f"runHook preBuild\n{build}\nrunHook postBuild\n" if build else "runHook preBuild\nrunHook postBuild\n"
    installed = "runHook preInstall\nmkdir -p $out/lib/app\ncp -r . $out/lib/app\nrunHook postInstall\n"
    return bind("buildPhase", Lines(built)), bind("installPhase", Lines(installed))


def _pnpm(common: tuple[Binding, ...], node: Chosen, *, is_built: bool) -> Node:
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
        *_phases("pnpm run build" if is_built else ""),
    )
    return Apply(names("pkgs.stdenv.mkDerivation"), (Lambda("final", AttrSet(arguments)),))
