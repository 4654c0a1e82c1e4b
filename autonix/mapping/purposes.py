"""What a command is for, by its name and, where the name says nothing, by its first words; it runs nothing."""

import re
from collections.abc import Mapping

from autonix.findings import Purpose

_NAMES: Mapping[str, Purpose] = {
    **dict.fromkeys(("start", "serve", "run", "web", "server", "start:prod", "worker", "up"), Purpose.START),
    **dict.fromkeys(("dev", "develop", "watch", "start:dev", "dev:server", "preview"), Purpose.DEVELOP),
    **dict.fromkeys(("build", "compile", "all", "bundle", "dist", "package", "release"), Purpose.BUILD),
    **dict.fromkeys(("test", "tests", "check", "spec", "unit", "pytest", "test:unit", "test-unit"), Purpose.TEST),
    **dict.fromkeys(
        ("lint", "typecheck", "type-check", "types", "vet", "clippy", "mypy", "ruff", "eslint", "tsc"), Purpose.LINT
    ),
    **dict.fromkeys(("help", "default", "clean", "install", "setup", "deploy", "docs", "prepare"), Purpose.OTHER),
    **dict.fromkeys(("format", "fmt", "prettier", "black"), Purpose.FORMAT),
}
_TALK = re.compile(r"\s*@?(echo|printf)\b")
_LONGEST = 4000
_CALLS = re.compile(r"(?:make|just|task|mise run|deno task|(?:npm|pnpm|yarn|bun)(?: run)?|composer run) ([\w:.-]+)")
"""A command that only calls another one of the project by its name."""
_WORDS: tuple[tuple[re.Pattern[str], Purpose], ...] = tuple(
    (re.compile(pattern), purpose)
    for pattern, purpose in (
        (
            r"(^|[\s/])(pytest|tox|nox|jest|vitest|mocha|rspec|phpunit|ctest|tap|ava)(\s|$)"
            r"|\b(cargo (nex)?test|go test|npm (run )?test|yarn test|pnpm (run )?test|mix test|mvn .*\b(test|verify)\b"
            r"|gradlew? .*\b(test|check)\b|manage\.py test|bun test|deno test|rake test|rails test|dotnet test"
            r"|zig build test|cabal (new-)?test|stack .*\btest|sbt .*\btest(Only)?|make (check|test|distcheck)"
            r"|node --test|unittest|composer (run(-script)? )?test|mix coveralls|busted|bats|prove)\b",
            Purpose.TEST,
        ),
        (
            r"(^|[\s/])(eslint|ruff check|ruff\s+check|flake8|pylint|mypy|pyright|golangci-lint|rubocop|phpstan|credo"
            r"|shellcheck|biome (check|lint)|stylelint|staticcheck|hadolint|tsc --noEmit|hlint|deno lint|psalm|ktlint"
            r"|detekt|spotlessCheck|checkstyle\w*|scalafmtCheck\w*|clang-tidy|cppcheck|statix|deadnix)(\s|$)"
            r"|\b(cargo clippy|go vet|cargo fmt .*--check|prettier .*--check|black .*--check|ruff format .*--check"
            r"|(deno|zig) fmt .*--check|dotnet format .*--verify-no-changes|fantomas .*--check|mix format .*--check"
            r"|php-cs-fixer .*--dry-run|pint .*--test|fourmolu .*check|ormolu .*check|clang-format .*(-n|--dry-run))",
            Purpose.LINT,
        ),
        (
            r"(^|[\s/])(prettier|black|ruff format|gofmt|rustfmt)(\s|$)|\b(cargo fmt|go fmt|mix format)\b",
            Purpose.FORMAT,
        ),
        (
            r"\b(cargo build|go build|npm run build|yarn build|pnpm (run )?build|mvn .*package|gradlew? .*build"
            r"|tsc( -p| -b|$)|vite build|webpack|next build|docker build|cmake --build|meson compile|python -m build"
            r"|dotnet (build|publish|pack)|cabal (new-)?build|stack .*\bbuild|zig build(\s|$)|mix (compile|release)"
            r"|sbt .*\b(compile|assembly|stage|dist|package|publish\w*)\b|gradlew? .*\b(assemble|jar|bootJar)\b"
            r"|deno (compile|bundle)|bundle exec rake build|gem build|go install|cargo install|nix build)",
            Purpose.BUILD,
        ),
    )
)


def purpose_of(name: str, text: str = "") -> Purpose:
    """What the command `name` with the shell text `text` is for."""
    if (known := _NAMES.get(name.lower().replace("_", "-"))) is not None:
        return known
    if (called := _CALLS.fullmatch(text.strip())) and called[1].lower() in _NAMES:
        return _NAMES[called[1].lower()]
    said = "\n".join(line for line in text.split("\n") if not _TALK.match(line))[:_LONGEST]
    for pattern, purpose in _WORDS:
        if pattern.search(said):
            return purpose
    return Purpose.OTHER
