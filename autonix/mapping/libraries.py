"""Which client library means which service, for each ecosystem; a library for several kinds is in no table.

Only libraries that are of no use without their server are here: an ORM alone says nothing.
"""

import re
from collections.abc import Mapping, Sequence

from autonix.findings import Ecosystem


def _table(**libraries: str) -> dict[str, str]:
    return {name: kind for kind, names in libraries.items() for name in names.split()}


LIBRARIES: Mapping[Ecosystem, Mapping[str, str]] = {
    Ecosystem.PYTHON: _table(
        postgresql="psycopg psycopg2 psycopg2-binary psycopg-binary asyncpg aiopg pg8000",
        mysql="mysqlclient pymysql aiomysql mysql-connector-python asyncmy",
        mariadb="mariadb",
        redis="redis aioredis hiredis django-redis redis-om rq arq flask-redis channels-redis",
        valkey="valkey valkey-glide",
        rabbitmq="pika aio-pika",
        mongodb="pymongo motor mongoengine beanie",
        elasticsearch="elasticsearch elasticsearch-dsl",
        opensearch="opensearch-py",
        memcached="pymemcache python-memcached pylibmc aiomcache",
        kafka="kafka-python kafka-python-ng confluent-kafka aiokafka faust-streaming",
        nats="nats-py",
        clickhouse="clickhouse-driver clickhouse-connect",
        cassandra="cassandra-driver",
        neo4j="neo4j",
        influxdb="influxdb influxdb-client",
        meilisearch="meilisearch",
        qdrant="qdrant-client",
        mssql="pymssql",
    ),
    Ecosystem.JAVASCRIPT: _table(
        postgresql="pg postgres pg-promise @types/pg-promise @prisma/adapter-pg slonik @db/postgres",
        mysql="mysql mysql2 @prisma/adapter-mysql",
        mariadb="mariadb @prisma/adapter-mariadb",
        redis="redis ioredis bull bullmq connect-redis bee-queue @redis/client @db/redis",
        valkey="@valkey/valkey-glide iovalkey",
        rabbitmq="amqplib amqp-connection-manager rhea-rabbitmq",
        mongodb="mongodb mongoose connect-mongo mongoist monk",
        elasticsearch="@elastic/elasticsearch",
        opensearch="@opensearch-project/opensearch",
        memcached="memcached memjs",
        kafka="kafkajs node-rdkafka @confluentinc/kafka-javascript",
        nats="nats @nats-io/transport-node",
        clickhouse="@clickhouse/client",
        cassandra="cassandra-driver",
        neo4j="neo4j-driver",
        influxdb="@influxdata/influxdb-client influx",
        meilisearch="meilisearch",
        qdrant="@qdrant/js-client-rest",
        mssql="mssql tedious",
    ),
    Ecosystem.RUST: _table(
        postgresql="tokio-postgres postgres deadpool-postgres bb8-postgres diesel-async-postgres",
        mysql="mysql mysql_async",
        redis="redis fred deadpool-redis bb8-redis redis-async",
        rabbitmq="lapin amqprs",
        mongodb="mongodb",
        elasticsearch="elasticsearch",
        memcached="memcache async-memcached",
        kafka="rdkafka kafka rskafka",
        nats="async-nats nats",
        clickhouse="clickhouse",
        cassandra="scylla cdrs-tokio",
        neo4j="neo4rs",
        meilisearch="meilisearch-sdk",
        qdrant="qdrant-client",
        mssql="tiberius",
    ),
    Ecosystem.GO: _table(
        postgresql="github.com/lib/pq github.com/jackc/pgx github.com/go-pg/pg gorm.io/driver/postgres",
        mysql="github.com/go-sql-driver/mysql gorm.io/driver/mysql",
        redis="github.com/redis/go-redis github.com/go-redis/redis github.com/gomodule/redigo github.com/hibiken/asynq",
        valkey="github.com/valkey-io/valkey-go",
        rabbitmq="github.com/rabbitmq/amqp091-go github.com/streadway/amqp",
        mongodb="go.mongodb.org/mongo-driver",
        elasticsearch="github.com/elastic/go-elasticsearch github.com/olivere/elastic",
        opensearch="github.com/opensearch-project/opensearch-go",
        memcached="github.com/bradfitz/gomemcache",
        kafka="github.com/segmentio/kafka-go github.com/IBM/sarama github.com/Shopify/sarama github.com/twmb/franz-go",
        nats="github.com/nats-io/nats.go",
        clickhouse="github.com/ClickHouse/clickhouse-go",
        cassandra="github.com/gocql/gocql github.com/apache/cassandra-gocql-driver",
        neo4j="github.com/neo4j/neo4j-go-driver",
        influxdb="github.com/influxdata/influxdb-client-go",
        meilisearch="github.com/meilisearch/meilisearch-go",
        qdrant="github.com/qdrant/go-client",
        mssql="github.com/microsoft/go-mssqldb github.com/denisenkom/go-mssqldb gorm.io/driver/sqlserver",
        etcd="go.etcd.io/etcd/client",
    ),
    Ecosystem.JAVA: _table(
        postgresql="org.postgresql:postgresql org.postgresql:r2dbc-postgresql io.quarkus:quarkus-jdbc-postgresql "
        "org.tpolecat:doobie-postgres org.tpolecat:skunk-core",
        mysql="com.mysql:mysql-connector-j mysql:mysql-connector-java io.quarkus:quarkus-jdbc-mysql",
        mariadb="org.mariadb.jdbc:mariadb-java-client",
        redis="redis.clients:jedis io.lettuce:lettuce-core org.redisson:redisson "
        "org.springframework.boot:spring-boot-starter-data-redis dev.profunktor:redis4cats-effects",
        rabbitmq="com.rabbitmq:amqp-client org.springframework.boot:spring-boot-starter-amqp",
        mongodb="org.mongodb:mongodb-driver-sync org.springframework.boot:spring-boot-starter-data-mongodb "
        "org.mongodb.scala:mongo-scala-driver org.reactivemongo:reactivemongo",
        elasticsearch="co.elastic.clients:elasticsearch-java "
        "org.springframework.boot:spring-boot-starter-data-elasticsearch",
        memcached="net.spy:spymemcached",
        kafka="org.apache.kafka:kafka-clients org.springframework.kafka:spring-kafka com.github.fd4s:fs2-kafka",
        cassandra="org.springframework.boot:spring-boot-starter-data-cassandra",
        neo4j="org.springframework.boot:spring-boot-starter-data-neo4j",
        mssql="com.microsoft.sqlserver:mssql-jdbc",
    ),
    Ecosystem.RUBY: _table(
        postgresql="pg",
        mysql="mysql2 trilogy",
        redis="redis sidekiq resque redis-client",
        rabbitmq="bunny sneakers",
        mongodb="mongo mongoid",
        elasticsearch="elasticsearch elasticsearch-rails searchkick",
        memcached="dalli",
        kafka="ruby-kafka karafka rdkafka",
    ),
    Ecosystem.PHP: _table(
        postgresql="ext-pgsql ext-pdo_pgsql",
        mysql="ext-mysqli ext-pdo_mysql",
        redis="predis/predis ext-redis symfony/redis-messenger",
        rabbitmq="php-amqplib/php-amqplib ext-amqp symfony/amqp-messenger",
        mongodb="mongodb/mongodb mongodb/laravel-mongodb ext-mongodb",
        elasticsearch="elasticsearch/elasticsearch",
        memcached="ext-memcached",
    ),
    Ecosystem.ELIXIR: _table(
        postgresql="postgrex",
        mysql="myxql",
        redis="redix exq verk",
        rabbitmq="amqp",
        mongodb="mongodb_driver",
        elasticsearch="elasticsearch",
        memcached="memcachex",
        kafka="brod kafka_ex",
    ),
    Ecosystem.DOTNET: _table(
        postgresql="npgsql npgsql.entityframeworkcore.postgresql marten npgsql.dependencyinjection aspire.npgsql "
        "aspire.npgsql.entityframeworkcore.postgresql aspire.hosting.postgresql",
        mysql="mysqlconnector mysql.data mysql.entityframeworkcore pomelo.entityframeworkcore.mysql "
        "aspire.mysqlconnector aspire.pomelo.entityframeworkcore.mysql aspire.hosting.mysql",
        redis="stackexchange.redis microsoft.extensions.caching.stackexchangeredis servicestack.redis "
        "aspire.stackexchange.redis aspire.stackexchange.redis.distributedcaching aspire.hosting.redis",
        rabbitmq="rabbitmq.client masstransit.rabbitmq easynetq rebus.rabbitmq aspire.rabbitmq.client "
        "aspire.hosting.rabbitmq",
        mongodb="mongodb.driver mongodb.entityframeworkcore aspire.mongodb.driver aspire.hosting.mongodb",
        elasticsearch="elastic.clients.elasticsearch nest elasticsearch.net",
        opensearch="opensearch.client opensearch.net",
        memcached="enyimmemcachedcore enyimmemcached",
        kafka="confluent.kafka masstransit.kafka",
        nats="nats.net nats.client",
        clickhouse="clickhouse.client clickhouse.ado",
        cassandra="cassandracsharpdriver",
        neo4j="neo4j.driver",
        influxdb="influxdb.client",
        qdrant="qdrant.client",
        mssql="microsoft.data.sqlclient system.data.sqlclient microsoft.entityframeworkcore.sqlserver "
        "aspire.microsoft.data.sqlclient aspire.microsoft.entityframeworkcore.sqlserver aspire.hosting.sqlserver",
    ),
    Ecosystem.HASKELL: _table(
        postgresql="postgresql-simple postgresql-libpq hasql hasql-pool persistent-postgresql beam-postgres rel8",
        mysql="mysql mysql-simple persistent-mysql mysql-haskell",
        redis="hedis",
        rabbitmq="amqp",
        mongodb="mongodb persistent-mongodb",
        elasticsearch="bloodhound",
        kafka="hw-kafka-client",
    ),
}
"""Names as the ecosystem's own normal form has them (Go: the module without its major version)."""

EMBEDDED: Mapping[Ecosystem, frozenset[str]] = {
    ecosystem: frozenset(names.split())
    for ecosystem, names in {
        Ecosystem.JAVASCRIPT: "better-sqlite3 sqlite3 sqlite @libsql/client sql.js @prisma/adapter-better-sqlite3",
        Ecosystem.PYTHON: "aiosqlite",
        Ecosystem.RUST: "rusqlite libsqlite3-sys",
        Ecosystem.GO: "github.com/mattn/go-sqlite3 modernc.org/sqlite github.com/glebarez/sqlite gorm.io/driver/sqlite "
        "zombiezen.com/go/sqlite github.com/ncruces/go-sqlite3",
        Ecosystem.JAVA: "org.xerial:sqlite-jdbc com.h2database:h2 org.hsqldb:hsqldb org.apache.derby:derby",
        Ecosystem.RUBY: "sqlite3",
        Ecosystem.PHP: "ext-pdo_sqlite ext-sqlite3",
        Ecosystem.ELIXIR: "exqlite ecto_sqlite3",
        Ecosystem.DOTNET: "microsoft.entityframeworkcore.sqlite microsoft.data.sqlite",
        Ecosystem.HASKELL: "persistent-sqlite sqlite-simple",
    }.items()
}
"""Databases inside of the program: with one of them, a driver for a server is one of several that a setting chooses."""

_MAJOR = re.compile(r"/v[0-9]+$")


def kinds_of(ecosystem: Ecosystem, name: str, features: Sequence[str]) -> tuple[str, ...]:
    """The services that a library needs, by its name and what is asked of it; each once."""
    plain = plain_name(ecosystem, name)
    found = [LIBRARIES.get(ecosystem, {}).get(plain)]
    found += [FEATURES.get((ecosystem, plain, feature)) for feature in features]
    return tuple(dict.fromkeys(kind for kind in found if kind is not None))


def is_embedded(ecosystem: Ecosystem, name: str, features: Sequence[str]) -> bool:
    """Whether a library is a database of its own, or is asked for one."""
    plain = plain_name(ecosystem, name)
    asked = {"sqlite", "sqlx-sqlite", "sqlite-bundled"}.intersection(features)
    return plain in EMBEDDED.get(ecosystem, ()) or (ecosystem is Ecosystem.RUST and bool(asked))


def plain_name(ecosystem: Ecosystem, name: str) -> str:
    """The name as tables have it: a Go module without its major version; NuGet and Hackage do not mind capitals."""
    if ecosystem in (Ecosystem.DOTNET, Ecosystem.HASKELL):
        return name.lower()
    return _MAJOR.sub("", name) if ecosystem is Ecosystem.GO else name


_RUST, _PYTHON = Ecosystem.RUST, Ecosystem.PYTHON
FEATURES: Mapping[tuple[Ecosystem, str, str], str] = {
    (_RUST, "sqlx", "postgres"): "postgresql",
    (_RUST, "sqlx", "mysql"): "mysql",
    (_RUST, "diesel", "postgres"): "postgresql",
    (_RUST, "diesel", "mysql"): "mysql",
    (_RUST, "diesel-async", "postgres"): "postgresql",
    (_RUST, "diesel-async", "mysql"): "mysql",
    (_RUST, "sea-orm", "sqlx-postgres"): "postgresql",
    (_RUST, "sea-orm", "sqlx-mysql"): "mysql",
    (_PYTHON, "celery", "redis"): "redis",
    (_PYTHON, "celery", "rabbitmq"): "rabbitmq",
    (_PYTHON, "celery", "amqp"): "rabbitmq",
    (_PYTHON, "sqlalchemy", "postgresql"): "postgresql",
    (_PYTHON, "sqlalchemy", "asyncpg"): "postgresql",
    (_PYTHON, "tortoise-orm", "asyncpg"): "postgresql",
    (_PYTHON, "databases", "postgresql"): "postgresql",
    (_PYTHON, "databases", "asyncpg"): "postgresql",
}
"""A library and a feature or extra of it that together mean a service."""
