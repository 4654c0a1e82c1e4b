"""The reference under docs/ is what the declarations of options make of it."""

import pytest

from nix import reference
from nix.reference_page import nix_value, options


async def test_the_files_are_as_the_declarations_make_them() -> None:
    for name, text in (await reference.documents()).items():
        written = (reference.DIRECTORY / name).read_text(encoding="utf-8")
        assert written == text, f"{name} is not fresh; run: python -m nix.reference"


async def test_every_option_has_a_text_that_ends_like_a_sentence() -> None:
    forms = await reference.declared()
    every = [forms["cluster"], forms["guest"], forms["shared"], *forms["services"].values()]
    found = [option for form in every for option in options(form)]
    assert len(found) > 130
    assert [option.path for option in found if not option.declared["description"].rstrip().endswith(".")] == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, "b"], "c d": None}, '{ a = [ 1 "b" ]; "c d" = null; }'),
        ('${x} "y"', '"\\${x} \\"y\\""'),
        ({}, "{ }"),
        (True, "true"),
    ],
)
def test_values_are_shown_as_one_writes_them_in_nix(value: object, text: str) -> None:
    assert nix_value(value) == text
