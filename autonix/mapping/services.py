"""What is known of each kind of service: by which images and addresses it is recognised, its ports and default size.

A table and look-ups; who uses a service is found elsewhere. Ports are those of the servers' own documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from autonix.findings import Size


@dataclass(frozen=True, slots=True)
class ServiceKind:
    """One kind. `images`: repositories without registry and tag; `schemes`: of URLs in the environment.

    `data` is where its image keeps what must outlive it; `sql` kinds stand in for each other behind one library.
    """

    kind: str
    title: str
    ports: tuple[int, ...]
    size: Size
    images: tuple[str, ...]
    schemes: tuple[str, ...] = ()
    data: str | None = None
    sql: bool = False


_SMALL = Size(cpu=1, memory_mb=256)

SERVICES: Mapping[str, ServiceKind] = {
    kind.kind: kind
    for kind in (
        ServiceKind(
            "postgresql",
            "PostgreSQL",
            (5432,),
            Size(1, 1024, 10240),
            (
                *("postgres", "bitnami/postgresql", "postgis/postgis", "pgvector/pgvector", "timescale/timescaledb"),
                *(
                    "pgautoupgrade/pgautoupgrade",
                    "ankane/pgvector",
                    "cimg/postgres",
                    "circleci/postgres",
                    "supabase/postgres",
                    "bitnamilegacy/postgresql",
                ),
            ),
            (
                "postgres",
                "postgresql",
                "postgresql+psycopg",
                "postgresql+psycopg2",
                "postgresql+asyncpg",
                "postgis",
                "ecto",
            ),
            "/var/lib/postgresql/data",
            sql=True,
        ),
        ServiceKind(
            "mysql",
            "MySQL",
            (3306,),
            Size(1, 1024, 10240),
            ("mysql", "mysql/mysql-server", "bitnami/mysql", "cimg/mysql", "percona"),
            ("mysql", "mysql2", "mysql+pymysql", "mysql+aiomysql", "mysql+mysqldb"),
            "/var/lib/mysql",
            sql=True,
        ),
        ServiceKind(
            "mariadb",
            "MariaDB",
            (3306,),
            Size(1, 1024, 10240),
            ("mariadb", "bitnami/mariadb", "linuxserver/mariadb", "cimg/mariadb"),
            ("mariadb", "mariadb+pymysql"),
            "/var/lib/mysql",
            sql=True,
        ),
        ServiceKind(
            "redis",
            "Redis",
            (6379,),
            Size(1, 512, 1024),
            (
                "redis",
                "bitnami/redis",
                "redis/redis-stack",
                "redis/redis-stack-server",
                "cimg/redis",
                "redislabs/rejson",
            ),
            ("redis", "rediss"),
            "/data",
        ),
        ServiceKind(
            "valkey", "Valkey", (6379,), Size(1, 512, 1024), ("valkey/valkey", "bitnami/valkey"), ("valkey",), "/data"
        ),
        ServiceKind(
            "rabbitmq",
            "RabbitMQ",
            (5672,),
            Size(1, 1024, 2048),
            ("rabbitmq", "bitnami/rabbitmq"),
            ("amqp", "amqps", "pyamqp"),
            "/var/lib/rabbitmq",
        ),
        ServiceKind(
            "mongodb",
            "MongoDB",
            (27017,),
            Size(1, 1024, 10240),
            ("mongo", "bitnami/mongodb", "mongodb/mongodb-community-server", "percona/percona-server-mongodb"),
            ("mongodb", "mongodb+srv"),
            "/data/db",
        ),
        ServiceKind(
            "elasticsearch",
            "Elasticsearch",
            (9200,),
            Size(2, 2048, 20480),
            ("elasticsearch", "elasticsearch/elasticsearch", "bitnami/elasticsearch"),
            (),
            "/usr/share/elasticsearch/data",
        ),
        ServiceKind(
            "opensearch",
            "OpenSearch",
            (9200,),
            Size(2, 2048, 20480),
            ("opensearchproject/opensearch", "bitnami/opensearch"),
            (),
            "/usr/share/opensearch/data",
        ),
        ServiceKind(
            "memcached", "memcached", (11211,), _SMALL, ("memcached", "bitnami/memcached"), ("memcached", "memcache")
        ),
        ServiceKind("nginx", "nginx", (80,), _SMALL, ("nginx", "bitnami/nginx", "nginxinc/nginx-unprivileged")),
        ServiceKind("caddy", "Caddy", (80,), _SMALL, ("caddy",)),
        ServiceKind("traefik", "Traefik", (80,), _SMALL, ("traefik",)),
        ServiceKind("haproxy", "HAProxy", (80,), _SMALL, ("haproxy",)),
        ServiceKind(
            "kafka",
            "Apache Kafka",
            (9092,),
            Size(2, 2048, 10240),
            ("apache/kafka", "confluentinc/cp-kafka", "bitnami/kafka", "wurstmeister/kafka", "bitnamilegacy/kafka"),
            ("kafka",),
        ),
        ServiceKind(
            "zookeeper",
            "Apache ZooKeeper",
            (2181,),
            Size(1, 512, 1024),
            ("zookeeper", "confluentinc/cp-zookeeper", "bitnami/zookeeper", "wurstmeister/zookeeper"),
            ("zookeeper",),
            "/data",
        ),
        ServiceKind("nats", "NATS", (4222,), _SMALL, ("nats", "bitnami/nats"), ("nats",)),
        ServiceKind(
            "minio",
            "MinIO",
            (9000,),
            Size(1, 512, 20480),
            ("minio/minio", "bitnami/minio"),
            (),
            "/data",
        ),
        ServiceKind(
            "clickhouse",
            "ClickHouse",
            (8123, 9000),
            Size(2, 2048, 20480),
            ("clickhouse/clickhouse-server", "clickhouse", "yandex/clickhouse-server"),
            ("clickhouse",),
            "/var/lib/clickhouse",
        ),
        ServiceKind(
            "cassandra",
            "Apache Cassandra",
            (9042,),
            Size(2, 2048, 20480),
            ("cassandra",),
            ("cassandra",),
            "/var/lib/cassandra",
        ),
        ServiceKind("neo4j", "Neo4j", (7687, 7474), Size(1, 2048, 10240), ("neo4j",), ("neo4j", "bolt"), "/data"),
        ServiceKind("influxdb", "InfluxDB", (8086,), Size(1, 1024, 10240), ("influxdb",), (), "/var/lib/influxdb"),
        ServiceKind("prometheus", "Prometheus", (9090,), Size(1, 512, 10240), ("prom/prometheus",), (), "/prometheus"),
        ServiceKind(
            "grafana",
            "Grafana",
            (3000,),
            Size(1, 512, 1024),
            ("grafana/grafana", "grafana/grafana-oss"),
            (),
            "/var/lib/grafana",
        ),
        ServiceKind("mailpit", "Mailpit", (1025, 8025), _SMALL, ("axllent/mailpit",)),
        ServiceKind("mailhog", "MailHog", (1025, 8025), _SMALL, ("mailhog/mailhog",)),
        ServiceKind("keycloak", "Keycloak", (8080,), Size(1, 1024), ("keycloak/keycloak", "jboss/keycloak")),
        ServiceKind("vault", "Vault", (8200,), Size(1, 256, 1024), ("vault", "hashicorp/vault")),
        ServiceKind(
            "consul",
            "Consul",
            (8500,),
            Size(1, 256, 1024),
            ("consul", "hashicorp/consul", "bitnami/consul"),
            ("consul",),
        ),
        ServiceKind(
            "etcd",
            "etcd",
            (2379,),
            Size(1, 512, 2048),
            ("etcd", "coreos/etcd", "etcd-development/etcd", "bitnami/etcd"),
            ("etcd",),
        ),
        ServiceKind(
            "meilisearch", "Meilisearch", (7700,), Size(1, 1024, 10240), ("getmeili/meilisearch",), (), "/meili_data"
        ),
        ServiceKind("typesense", "Typesense", (8108,), Size(1, 1024, 10240), ("typesense/typesense",), (), "/data"),
        ServiceKind("qdrant", "Qdrant", (6333,), Size(1, 1024, 10240), ("qdrant/qdrant",), (), "/qdrant/storage"),
        ServiceKind(
            "mssql",
            "Microsoft SQL Server",
            (1433,),
            Size(2, 2048, 10240),
            ("mssql/server", "azure-sql-edge"),
            ("sqlserver", "mssql", "mssql+pyodbc"),
            "/var/opt/mssql",
            sql=True,
        ),
    )
}
"""Every kind, by name."""

_BY_IMAGE = {image: kind for kind in SERVICES.values() for image in kind.images}
_BY_SCHEME = {scheme: kind for kind in SERVICES.values() for scheme in kind.schemes}
_REGISTRY_NAMESPACES = ("library/",)


@dataclass(frozen=True, slots=True)
class Image:
    """An image reference in parts: repository without its registry host, tag and digest, each empty where absent."""

    repository: str
    tag: str = ""
    digest: str = ""


def image_parts(reference: str) -> Image:
    """`docker.io/library/postgres:16-alpine@sha256:…` → `postgres`, `16-alpine`, `sha256:…`."""
    name, _, digest = reference.strip().partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    repository = head + slash + last
    first, slash, rest = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        repository = rest
    for namespace in _REGISTRY_NAMESPACES:
        repository = repository.removeprefix(namespace)
    return Image(repository, tag, digest)


def kind_of_image(reference: str) -> ServiceKind | None:
    """The kind that an image is of, by its exact repository; nothing is inferred from a part of a name."""
    return _BY_IMAGE.get(image_parts(reference).repository.lower())


def kind_of_scheme(scheme: str) -> ServiceKind | None:
    """The kind that a URL's scheme means (`postgresql+asyncpg`)."""
    return _BY_SCHEME.get(scheme.lower())
