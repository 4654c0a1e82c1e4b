"""PHP projects → buildComposerProject2; what has a public directory is served as NixOS does it, php-fpm and nginx."""

from collections.abc import Mapping
from typing import Final

from autonix.emit.recipe import Recipe, Tree, because, fake_hash, identity, meta, short_name, source, tools
from autonix.emit.toolchain import chosen
from autonix.emit.words import store_name
from autonix.explain import reason
from autonix.findings import Project
from autonix.nixast import (
    AttrSet,
    Binding,
    Commented,
    Lines,
    Node,
    Select,
    Str,
    Var,
    bind,
    call,
    literal,
    text,
)

PUBLIC: Final = ("laravel", "symfony")
"""Frameworks whose `public/index.php` answers every request."""
WRITABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "LARAVEL_STORAGE_PATH": (
        "",
        "/app",
        "/framework",
        "/framework/cache",
        "/framework/sessions",
        "/framework/views",
        "/logs",
    ),
    "APP_CACHE_DIR": ("", "/cache"),
    "APP_LOG_DIR": ("", "/log"),
}
"""Variables by which a framework is told where it may write, and the directories that it then wants."""
_OF_FRAMEWORK: Final = {"laravel": ("LARAVEL_STORAGE_PATH",), "symfony": ("APP_CACHE_DIR", "APP_LOG_DIR")}
_USER: Final = "nginx"
_POOL: Final = (
    *(("listen.owner", _USER), ("pm", "dynamic"), ("pm.max_children", 16), ("pm.start_servers", 2)),
    *(("pm.min_spare_servers", 1), ("pm.max_spare_servers", 4), ("clear_env", "no"), ("catch_workers_output", "yes")),
)


def php_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of a project of Composer."""
    php = chosen(project, "php")
    why = reason(php.because) if php.because else "nothing asks for a version, so nixpkgs' default"
    shell: tuple[Node | Commented, ...] = (Commented(why, php.node), *tools("phpPackages.composer"))
    names_ = identity(project, root_name=tree.analysis.root_name)
    hashed = fake_hash("vendorHash", "what composer.lock names")
    arguments = (*names_, bind("src", source(project.path)), bind("php", php.node, comment=why), hashed)
    package = call("pkgs.php.buildComposerProject2", AttrSet((*arguments, *meta(project, program=None))))
    home = f"share/php/{store_name(short_name(project, root_name=tree.analysis.root_name))}"
    return Recipe(
        package=package,
        because=because(project, "nixpkgs' builder for it"),
        tools=shell,
        # artisan and bin/console stay where the sources are
        programs=tuple(each.value.name for each in project.entry_points if each.rule == "php.composer.bin"),
        home=home,
        run_tools=(php.node,),
        served=next((each for each in project.frameworks if each.value in PUBLIC), None),
    )


def served_by_nginx(vm: str, package: Node, *, home: str, framework: str, php: Node, port: int) -> tuple[Binding, ...]:
    """The options of NixOS by which a VM answers on `port` with what is in the package's `public`."""
    told = _OF_FRAMEWORK.get(framework, ())
    state = {"": "", "LARAVEL_STORAGE_PATH": "", "APP_CACHE_DIR": "/cache", "APP_LOG_DIR": "/log"}
    variables = AttrSet(tuple(Binding((name,), text(f"/var/lib/{vm}{state[name]}")) for name in told))
    made = dict.fromkeys(place for name in told for place in WRITABLE[name])
    rules = literal([f"d /var/lib/{vm}{place} 0750 {_USER} {_USER} -" for place in made])
    defaults = "Defaults; nothing here says how many requests come at once."
    settings = bind(
        "settings", AttrSet(tuple(Binding((name,), literal(value)) for name, value in _POOL)), comment=defaults
    )
    pool = AttrSet(
        (
            bind("user", text(_USER)),
            bind("group", text(_USER)),
            bind("phpPackage", php),
            settings,
            *((bind("phpEnv", variables, comment="The package itself cannot be written to."),) if told else ()),
        )
    )
    passed = (
        "include ",
        Select(Var("pkgs"), ("nginx",)),
        f"/conf/fastcgi.conf;\nfastcgi_pass unix:/run/phpfpm/{vm}.sock;\n",
    )
    host = AttrSet(
        (
            bind("default", Var("true")),
            bind("listen", literal([{"addr": "0.0.0.0", "port": port}])),  # noqa: S104 - of a VM that the firewall guards
            bind("root", Str((package, f"/{home}/public"))),
            Binding(("locations", "/", "tryFiles"), text("$uri /index.php?$query_string")),
            Binding(("locations", "~ \\.php$", "extraConfig"), Lines(passed)),
        )
    )
    return (
        Binding(("services", "phpfpm", "pools", vm), pool),
        bind("services.nginx", AttrSet((bind("enable", Var("true")), Binding(("virtualHosts", "_"), host)))),
        *((bind("systemd.tmpfiles.rules", rules),) if told else ()),
    )
