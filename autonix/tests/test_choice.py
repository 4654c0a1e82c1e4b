"""Which of many Compose files is the application's."""

import pytest

from autonix.containers.choice import application_files


@pytest.mark.parametrize(
    ("paths", "chosen"),
    [
        (("compose.yaml", "docker-compose.yml", "docker-compose.override.yml"), ("compose.yaml",)),
        (("docker-compose.yml", "deploy/docker-compose.yml"), ("docker-compose.yml",)),
        (("docker/compose.yml", "docker/federation/compose.yml"), ("docker/compose.yml",)),
        (("a/compose.yml", "b/compose.yml"), ("a/compose.yml", "b/compose.yml")),
        (("e2e/compose.yml", "docker/testing/compose.yml"), ()),
        ((".devcontainer/docker-compose.yml",), (".devcontainer/docker-compose.yml",)),
        ((".devcontainer/docker-compose.yml", "x/compose.yml"), ("x/compose.yml",)),
        (("docker/development/compose.yml", "docker/production/compose.yml"), ("docker/production/compose.yml",)),
        (("docker-compose.dev.yml", "docker-compose.prod.yml"), ("docker-compose.prod.yml",)),
        (("docker-compose.ci-test.yml", "docker-compose.only.yml"), ("docker-compose.only.yml",)),
        (("docker-compose.mariadb.yml", "docker-compose.postgres.yml"), ()),
    ],
)
def test_the_application_s_file_is_chosen(paths: tuple[str, ...], chosen: tuple[str, ...]) -> None:
    assert application_files(paths) == chosen
