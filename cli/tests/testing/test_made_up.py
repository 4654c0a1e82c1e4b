import pytest

from cli.testing.made_up import made_up_publish, made_up_spec, parse_origin
from cli.tests.builders import COMMIT
from schema.errors import InvalidInput
from schema.generation import Publish
from schema.origin import Origin
from schema.signing import SecretKey

KEY = SecretKey.from_seed("ci-1", b"1" * 32)


def publish_of(count: int, *, commit: str = COMMIT) -> Publish:
    origin = parse_origin("demo/example")
    return made_up_publish(commit=commit, number=3, count=count, origin=origin, cluster="example", key=KEY)


def test_the_same_arguments_make_the_same_bytes() -> None:
    assert publish_of(5) == publish_of(5)
    publish_of(5).check_content()
    assert publish_of(0).vm_specs == ()


def test_another_commit_is_other_content_of_the_same_vms() -> None:
    one, other = publish_of(2), publish_of(2, commit="d" * 40)
    assert [spec.value.name for spec in one.vm_specs] == [spec.value.name for spec in other.vm_specs]
    hashes = {spec.value.content_hash for publish in (one, other) for spec in publish.vm_specs}
    assert len(hashes) == 4


def test_specs_are_in_the_order_of_their_numbers_at_any_count() -> None:
    assert made_up_spec("vm-00007", commit=COMMIT).instances == ("vm-00007-0",)


def test_an_origin_is_read_in_its_three_forms() -> None:
    assert parse_origin("a/b") == Origin(repository="a/b", branch="main")
    assert parse_origin("a/b:dev") == Origin(repository="a/b", branch="dev")
    assert parse_origin("a/b:dev:sub/dir") == Origin(repository="a/b", branch="dev", path="sub/dir")
    for wrong in ("", "b", "a/b:dev:..", "../x", "-a/b"):
        with pytest.raises(InvalidInput):
            parse_origin(wrong)
