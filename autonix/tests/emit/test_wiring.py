"""Environments of applications: addresses lead to VMs, secrets stay out, and nothing else is changed."""

import pytest

from autonix.emit.services import Login, setup_of
from autonix.emit.wiring import Peer, environment, login_in
from autonix.findings import Variable
from autonix.tests.emit.analyses import a_finding, a_service


def a_peer(vm: str, kind: str) -> Peer:
    found = setup_of(kind)
    assert found is not None
    return Peer(vm, a_service(vm, kind), found[1])


DB, CACHE, QUEUE = a_peer("db", "postgresql"), a_peer("cache", "redis"), a_peer("queue", "rabbitmq")


def wired(*variables: Variable, peers: tuple[Peer, ...] = (DB, CACHE, QUEUE)) -> tuple[dict[str, str], tuple[str, ...]]:
    settings, missing = environment(map(a_finding, variables), peers, login=Login("shop", "shop"))
    return {each.name: each.value for each in settings}, missing


def test_variables_about_an_image_s_own_files_are_left_out() -> None:
    assert wired(Variable("HOME", "/app"), Variable("PATH", "/x"), Variable("MODE", "a")) == ({"MODE": "a"}, ())


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("postgres://u:p@localhost:5433/x?sslmode=disable", "postgres://u@db:5432/x?sslmode=disable"),
        ("postgresql+asyncpg://u:p@db/x", "postgresql+asyncpg://u@db:5432/x"),
        ("redis://127.0.0.1/3", "redis://cache:6379/3"),
        ("http://localhost:5672/", "http://queue:5672/"),
        ("http://localhost:9999/", "http://localhost:9999/"),
        ("https://api.example.org/v1", "https://api.example.org/v1"),
        ("db", "db"),
        ("plain words", "plain words"),
        ("http://[bad", "http://[bad"),
    ],
)
def test_an_address_of_a_service_becomes_its_vms(given: str, value: str) -> None:
    assert wired(Variable("X", given)) == ({"X": value}, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://shop@db:5432/shop"),
        ("REDIS_URL", "redis://cache:6379/0"),
        ("AMQP_URL", "amqp://queue:5672/"),
    ],
)
def test_a_known_name_without_a_value_gets_the_services_address(name: str, value: str) -> None:
    assert wired(Variable(name)) == ({name: value}, ())
    assert wired(Variable(name), peers=()) == ({}, (name,))


def test_two_services_of_a_kind_are_not_guessed_between() -> None:
    two = (DB, a_peer("other", "postgresql"))
    assert wired(Variable("DATABASE_URL"), peers=two) == ({}, ("DATABASE_URL",))
    assert wired(Variable("X", "postgres://localhost/x"), peers=two) == ({"X": "postgres://localhost/x"}, ())


def test_secrets_and_passwords_are_left_for_a_person() -> None:
    found = wired(
        Variable("API_KEY", "abc", secret=True), Variable("X", "https://me:pw@example.org/"), Variable("Y", "${Z}")
    )
    assert found == ({}, ("API_KEY", "X", "Y"))


def test_the_first_value_of_a_name_counts_and_bad_names_do_not() -> None:
    assert wired(Variable("A"), Variable("A", "1"), Variable("A", "2"), Variable("B-C", "3")) == ({"A": "1"}, ())


def test_hosts_follow_what_their_names_speak_of() -> None:
    assert wired(
        Variable("DB_HOST", "localhost"), Variable("REDIS_HOST", "127.0.0.1"), Variable("HOST", "localhost")
    ) == (
        {"DB_HOST": "db", "REDIS_HOST": "cache", "HOST": "localhost"},
        (),
    )


def test_a_login_is_read_from_an_address() -> None:
    assert login_in("postgres://u@db:5432/x?y=z") == Login("u", "x")
    assert login_in("postgres://db/x") == Login("x", "x")
    assert login_in("postgres://db") is None
    assert login_in("words") is None
