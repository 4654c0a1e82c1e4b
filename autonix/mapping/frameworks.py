"""Frameworks by library, and the port that each listens on by its own default; it looks at no file."""

from collections.abc import Mapping
from dataclasses import dataclass

from autonix.findings import Ecosystem


@dataclass(frozen=True, slots=True)
class Framework:
    """`port` is what its own development server or start command takes when nothing else is said."""

    name: str
    port: int | None = None


FRAMEWORKS: Mapping[Ecosystem, Mapping[str, Framework]] = {
    Ecosystem.PYTHON: {
        "django": Framework("django", 8000),
        "flask": Framework("flask", 5000),
        "fastapi": Framework("fastapi", 8000),
        "starlette": Framework("starlette"),
        "litestar": Framework("litestar", 8000),
        "sanic": Framework("sanic", 8000),
        "quart": Framework("quart", 5000),
        "aiohttp": Framework("aiohttp"),
        "tornado": Framework("tornado"),
        "streamlit": Framework("streamlit", 8501),
        "celery": Framework("celery"),
    },
    Ecosystem.JAVASCRIPT: {
        "@oak/oak": Framework("oak"),
        "fresh": Framework("fresh", 8000),
        "next": Framework("next", 3000),
        "nuxt": Framework("nuxt", 3000),
        "express": Framework("express"),
        "fastify": Framework("fastify"),
        "koa": Framework("koa"),
        "hono": Framework("hono"),
        "@nestjs/core": Framework("nest", 3000),
        "@angular/core": Framework("angular", 4200),
        "astro": Framework("astro", 4321),
        "@sveltejs/kit": Framework("sveltekit", 5173),
        "react": Framework("react"),
        "vue": Framework("vue"),
        "svelte": Framework("svelte"),
        "vite": Framework("vite", 5173),
        "@remix-run/node": Framework("remix", 3000),
    },
    Ecosystem.RUST: {
        "axum": Framework("axum"),
        "actix-web": Framework("actix-web"),
        "rocket": Framework("rocket", 8000),
        "warp": Framework("warp"),
        "tonic": Framework("tonic"),
    },
    Ecosystem.GO: {
        "github.com/gin-gonic/gin": Framework("gin", 8080),
        "github.com/labstack/echo": Framework("echo"),
        "github.com/gofiber/fiber": Framework("fiber"),
        "github.com/go-chi/chi": Framework("chi"),
        "github.com/gorilla/mux": Framework("gorilla"),
        "google.golang.org/grpc": Framework("grpc"),
    },
    Ecosystem.JAVA: {
        "org.springframework.boot:spring-boot-starter-web": Framework("spring-boot", 8080),
        "org.springframework.boot:spring-boot-starter-webmvc": Framework("spring-boot", 8080),
        "org.springframework.boot:spring-boot-starter-webflux": Framework("spring-boot", 8080),
        "org.springframework.cloud:spring-cloud-starter-gateway": Framework("spring-boot", 8080),
        "org.springframework.cloud:spring-cloud-starter-gateway-server-webflux": Framework("spring-boot", 8080),
        "org.springframework.cloud:spring-cloud-starter-gateway-server-webmvc": Framework("spring-boot", 8080),
        "org.springframework.cloud:spring-cloud-config-server": Framework("spring-boot", 8080),
        "org.springframework.cloud:spring-cloud-starter-netflix-eureka-server": Framework("spring-boot", 8080),
        "io.quarkus:quarkus-rest": Framework("quarkus", 8080),
        "io.micronaut:micronaut-http-server-netty": Framework("micronaut", 8080),
        "io.ktor:ktor-server-core": Framework("ktor"),
        "io.ktor:ktor-server-netty": Framework("ktor"),
        "org.http4s:http4s-ember-server": Framework("http4s"),
        "org.http4s:http4s-blaze-server": Framework("http4s"),
        "com.typesafe.akka:akka-http": Framework("akka-http"),
        "org.apache.pekko:pekko-http": Framework("pekko-http"),
        "dev.zio:zio-http": Framework("zio-http"),
        "org.playframework:play": Framework("play", 9000),
        "com.typesafe.play:play": Framework("play", 9000),
    },
    Ecosystem.RUBY: {
        "rails": Framework("rails", 3000),
        "sinatra": Framework("sinatra", 4567),
        "hanami": Framework("hanami", 2300),
    },
    Ecosystem.PHP: {
        "laravel/framework": Framework("laravel", 8000),
        "symfony/framework-bundle": Framework("symfony", 8000),
        "slim/slim": Framework("slim"),
    },
    Ecosystem.ELIXIR: {"phoenix": Framework("phoenix", 4000)},
    Ecosystem.HASKELL: {
        "servant-server": Framework("servant"),
        "warp": Framework("warp"),
        "scotty": Framework("scotty"),
        "yesod": Framework("yesod", 3000),
        "snap": Framework("snap", 8000),
        "ihp": Framework("ihp", 8000),
    },
}
"""Libraries in the ecosystem's own normal form."""

ON_A_SCREEN: Mapping[Ecosystem, frozenset[str]] = {
    Ecosystem.RUST: frozenset(("tauri", "eframe", "iced", "gtk4")),
    Ecosystem.JAVASCRIPT: frozenset(("electron", "expo", "react-native")),
}
"""Libraries of applications for a desktop or a phone: what starts them starts no server."""

FRONT_ENDS = frozenset(("react", "vue", "svelte", "vite", "angular"))
"""Frameworks of what runs in a browser, and of its builds: none of them makes a project one that talks to a server."""
