"""Fills the templates; every value is stripped of control characters and escaped, and an unknown name is an error."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from repohub.pages.words import plain

TEMPLATES = Path(__file__).with_name("templates")
STATIC = Path(__file__).with_name("static")


def _shown(value: object) -> object:
    """The last look at every value, should a page's function have let something through; markup stays as it is."""
    return plain(value) if type(value) is str else value


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


@dataclass(frozen=True, slots=True)
class Renderer:
    """The templates, compiled once."""

    environment: Environment = field(default_factory=_environment)

    def page(self, template: str, **values: Any) -> str:
        """A whole page."""
        shown = {"live": "", "refresh": 0, "section": ""} | values
        return self.environment.get_template(f"{template}.html").render(shown)

    def part(self, template: str, **values: Any) -> str:
        """One live part of a page, as it stands inside its element."""
        return self.environment.get_template(f"parts/{template}.html").render(values)
