"""C# and F# projects → buildDotnetModule; no other ecosystem.

What NuGet downloads is in a file that nixpkgs' own script makes (`nix build .#NAME.fetch-deps`). Until it is there an
empty one stands in its place, so that the flake evaluates and the script can be built.
"""

from autonix.emit.recipe import Recipe, Tree, because, identity, meta, source
from autonix.emit.toolchain import chosen
from autonix.emit.words import below
from autonix.explain import reason
from autonix.findings import Project
from autonix.nixast import AttrSet, Commented, If, Path, bind, call, literal, text

DEPENDENCIES = "deps.json"


def dotnet_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of one project file; it is built in the directory of its solution, whose files it may refer to."""
    sdk = chosen(project, "dotnet")
    why = reason(sdk.because) if sdk.because else "nothing asks for a version, so nixpkgs' default"
    root = project.workspace or project.path
    file = project.manifest if root in ("", ".") else project.manifest.removeprefix(f"{root}/")
    place = Path(below(root, DEPENDENCIES))
    empty = call("builtins.toFile", text(DEPENDENCIES), text("[]"))
    programs = tuple(each.value.name for each in project.entry_points)
    arguments = (
        *identity(project, root_name=tree.analysis.root_name),
        bind("src", source(root)),
        bind("projectFile", text(file)),
        bind(
            "nugetDeps",
            If(call("builtins.pathExists", place), place, empty),
            comment=f"What NuGet downloads: `nix build .#{tree.name}.fetch-deps && ./result {DEPENDENCIES}`",
        ),
        bind("dotnet-sdk", sdk.node, comment=why),
        *((bind("executables", literal(list(programs))),) if programs else ()),
        *meta(project, program=programs[0] if len(programs) == 1 else None),
    )
    return Recipe(
        package=call("pkgs.buildDotnetModule", AttrSet(arguments)),
        because=because(project, "buildDotnetModule"),
        tools=(Commented(why, sdk.node),),
        programs=programs,
    )
