"""What public repositories showed: each case in as few lines as it takes."""

from collections.abc import Mapping

import pytest

from autonix.emit.applications import applications
from autonix.emit.recipes import named_projects
from autonix.tests.facts import facts
from autonix.understand import understand


def found(files: Mapping[str, str]) -> frozenset[str]:
    return facts(understand("tree", sorted(files), files))


def services(files: Mapping[str, str]) -> set[str]:
    return {fact for fact in found(files) if fact.startswith("service ")}


def test_a_library_of_a_package_for_browsers_makes_no_service() -> None:
    imports = '{"imports": {"vite": "npm:vite@7", "redis": "npm:ioredis@5"}}'
    assert services({"deno.json": imports}) == set()
    assert services({"deno.json": imports.replace("vite", "hono")}) == {"service redis redis"}


def test_containers_that_test_or_only_hold_a_volume_are_set_aside() -> None:
    compose = """
services:
  data: {image: "mysql:8", command: /bin/true}
  db: {image: "mysql:8"}
  playwright: {build: .}
  browser: {build: {context: ., dockerfile: web/Dockerfile.playwright}}
"""
    assert {fact for fact in found({"compose.yml": compose}) if fact.startswith(("service ", "container "))} == {
        "service db mysql"
    }


def test_laravel_s_settings_choose_among_its_drivers() -> None:
    files = {
        "composer.json": '{"require": {"laravel/framework": "^11", "predis/predis": "^2"}}',
        ".env.example": "DB_CONNECTION=pgsql\nCACHE_STORE=file\nQUEUE_CONNECTION=sync\n",
    }
    assert services(files) == {"service postgresql postgresql"}
    files[".env.example"] += "SESSION_DRIVER=redis\n"
    assert services(files) == {"service postgresql postgresql", "service redis redis"}


@pytest.mark.parametrize("other", ["modernc.org/sqlite", "github.com/go-sql-driver/mysql"])
def test_a_driver_that_is_one_of_several_makes_no_database(other: str) -> None:
    module = f"module example.org/x\nrequire (\n\tgithub.com/lib/pq v1.10.9\n\t{other} v1.0.0\n)\n"
    main = "package main\nfunc main() {}\n"
    assert services({"go.mod": module, "main.go": main}) == set()
    assert services({"go.mod": module.replace(other, "example.org/y"), "main.go": main}) == {
        "service postgresql postgresql"
    }


def test_a_gem_s_own_gemfile_is_for_its_tests() -> None:
    files = {"Gemfile": 'gemspec\ngem "pg"\n', "x.gemspec": 'Gem::Specification.new do |s|\n  s.name = "x"\nend\n'}
    assert "develops-with . ruby pg" in found({**files, "config.ru": ""})
    assert services({**files, "config.ru": ""}) == set()


def test_a_ci_system_s_own_compose_file_is_not_the_application_s() -> None:
    assert services({".buildkite/docker-compose.yml": "services: {db: {image: 'postgres:16'}}"}) == set()


def test_a_makefile_s_program_is_what_it_makes_of_a_source() -> None:
    files = {"Makefile": "all: kilo\n\nkilo: kilo.c\n\tcc -o kilo kilo.c\n", "kilo.c": ""}
    assert "entry . c kilo = kilo" in found(files)


def test_a_makefile_beside_another_ecosystem_s_project_builds_no_c() -> None:
    assert "project . c" not in found({"Makefile": "all:\n", "x.c": "", "go.mod": "module x\n"})


def test_an_image_of_a_program_that_ends_is_no_vm() -> None:
    files = {"configure.ac": "AC_INIT([jq], [1.7])\n", "Makefile.am": "bin_PROGRAMS = jq\n"}
    tool = 'FROM debian:12\nENTRYPOINT ["/usr/bin/jq"]\n'

    def vms(dockerfile: str) -> int:
        found = {**files, "Dockerfile": dockerfile}
        return len(applications(analysis := understand("x", sorted(found), found), named_projects(analysis))[0])

    assert vms(tool) == 0
    assert vms(f"{tool}EXPOSE 80\n") == 1


def test_a_packaging_plugin_of_sbt_makes_a_start_script() -> None:
    build = 'lazy val `ws` = project.in(file(".")).enablePlugins(JavaAppPackaging).settings(\n  name := "ws",\n'
    build += '  libraryDependencies += "org.reactivemongo" %% "reactivemongo" % "1.1"\n)\n'
    facts_ = found({"build.sbt": build})
    assert {"name . java ws", "entry . java ws = ws", "service mongodb mongodb"} <= facts_


def test_mix_s_attributes_are_followed() -> None:
    mix = '@version "1.2.3"\n@elixir "~> 1.17"\n[\n  app: :x,\n  version: @version,\n  elixir: @elixir,\n]\n'
    assert {"version . elixir 1.2.3", "toolchain . elixir elixir ~> 1.17"} <= found({"mix.exs": mix})


def test_an_image_that_counts_its_own_versions_says_none_of_the_server() -> None:
    compose = 'services: {db: {image: "mcr.microsoft.com/azure-sql-edge:1.0.4"}}'
    every = found({"compose.yaml": compose})
    assert "service db mssql" in every
    assert not any(fact.startswith("service-version") for fact in every)


def test_a_lock_of_a_newer_yarn_tells_which_yarn_reads_it() -> None:
    lock = '__metadata:\n  version: 8\n  cacheKey: 10c0\n\n"koa@npm:^3":\n  version: 3.0.1\n'
    files = {"package.json": '{"name": "x", "dependencies": {"koa": "^3"}}', "yarn.lock": lock}
    analysis = understand("tree", sorted(files), files)
    [named] = named_projects(analysis)
    assert named.project.lock is not None and named.project.lock.value.format == "8"
    assert named.recipe.package is not None


def test_an_application_for_a_desktop_is_no_vm_and_says_why() -> None:
    files = {
        "desktop/Cargo.toml": '[package]\nname = "desk"\nversion = "1.0.0"\n[dependencies]\ntauri = "2"\naxum = "1"\n',
        "desktop/Cargo.lock": "version = 4\n",
        "desktop/src/main.rs": "fn main() {}\n",
    }
    analysis = understand("tree", sorted(files), files)
    running, notes = applications(analysis, named_projects(analysis))
    assert running == ()
    assert notes == (
        "desk: an application for a desktop or a phone, by desktop/Cargo.toml:5 (rust.dependencies, certain)",
    )


def test_servers_of_spring_cloud_are_applications() -> None:
    dependency = "<groupId>org.springframework.cloud</groupId><artifactId>spring-cloud-config-server</artifactId>"
    pom = (
        f"<project><artifactId>settings</artifactId><dependencies><dependency>{dependency}</dependency></dependencies>"
    )
    analysis = understand("tree", ["pom.xml"], {"pom.xml": f"{pom}</project>"})
    running, _ = applications(analysis, named_projects(analysis))
    assert [(each.vm, [port.value.number for port in each.ports]) for each in running] == [("settings", [8080])]
