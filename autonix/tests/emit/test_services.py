"""How kinds of services are set up: the versions that are asked for, and who may log in."""

from dataclasses import replace

import pytest

from autonix.emit.services import SETUPS, Login, setup_of
from autonix.findings import Service
from autonix.mapping.services import SERVICES
from autonix.nixast import AttrSet
from autonix.printer import show
from autonix.tests.emit.analyses import a_service


def options(service: Service, *logins: Login) -> str:
    found = setup_of(service.kind.value)
    assert found is not None
    return show(AttrSet(found[1].options(service, logins)))


def test_a_known_version_of_postgresql_is_that_one_and_no_other_takes_its_place() -> None:
    assert "package = pkgs.postgresql_16;" in options(a_service("db", "postgresql", version="16.4-alpine"))
    old = options(a_service("db", "postgresql", version="9.6"))
    assert "package" not in old
    assert "asks for 9.6; this is what nixpkgs has." in old
    assert "package" not in options(a_service("db", "postgresql"))


@pytest.mark.parametrize("kind", ["mysql", "redis", "mongodb", "rabbitmq", "memcached"])
def test_a_version_that_cannot_be_chosen_is_told(kind: str) -> None:
    assert "asks for 5.7; this is what nixpkgs has." in options(a_service("x", kind, version="5.7"))
    assert "asks for" not in options(a_service("x", kind))


def test_a_database_has_its_users() -> None:
    own = options(a_service("db", "postgresql"), Login("shop", "shop"), Login("postgres", "other"))
    assert 'ensureDatabases = [ "other" "shop" ];' in own
    assert "ensureDBOwnership = true;" in own
    assert '"postgres"' not in own
    assert "ensureClauses.superuser = true;" in options(a_service("db", "postgresql"), Login("me", "shop"))


def test_sql_is_only_made_of_plain_names() -> None:
    shown = options(a_service("db", "mysql"), Login("shop", "orders"), Login("x'; DROP", "y"), Login("root", "orders"))
    assert "CREATE USER IF NOT EXISTS 'shop'@'%';" in shown
    assert "GRANT ALL PRIVILEGES ON orders.* TO 'shop'@'%';" in shown
    assert "DROP" not in shown
    assert "'root'" not in shown


def test_every_setup_is_of_a_kind_that_the_scan_names_and_has_its_port() -> None:
    for kind, (_, setup) in SETUPS.items():
        assert setup.port in SERVICES[kind].ports


def test_a_kind_without_a_module_has_no_setup() -> None:
    assert setup_of(replace(a_service("x", "redis")).kind.value) is not None
    assert setup_of("mailpit") is None
