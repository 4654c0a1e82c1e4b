"""Fills the templates; every value is escaped, and a template that names something unknown is an error."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")
STATIC = Path(__file__).with_name("static")


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
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
