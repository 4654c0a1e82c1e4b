"""The pure parts: names, origins, CGI, verdicts, updates, words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repohub.activity import Activity
from repohub.cgi import CgiRequest, GitLimits, cgi_environment, cgi_request, git_config, git_environment, split_head
from repohub.names import GitPath, branch_name, git_path, repository_name
from repohub.origin import check_host, check_same_site, host_of
from repohub.pages import words
from repohub.pages.render import Renderer
from repohub.pages.tone import BUILD, CONVERGENCE, PHASE, ROLLOUT, STAGE, VIEW, WORKER
from repohub.settings import CiSettings, ControlPlaneSettings, ListenSettings, Settings, SiteSettings
from repohub.updates import RefUpdate, missed_updates, refs_of, told_after
from repohub.verdict import Delivered, Refusal, Retry, delay_after, verdict_of
from schema.builds import ZERO_SHA, BuildState, StageState
from schema.errors import InvalidInput, PermissionDenied, Unavailable
from schema.status import Convergence, RolloutState, View, VmPhase, WorkerState

SHAS = st.sampled_from([letter * 40 for letter in "abcd"])
REFS = st.sampled_from(["refs/heads/main", "refs/heads/x", "refs/tags/v1"])


@given(st.lists(st.tuples(REFS, SHAS | st.just(ZERO_SHA)), max_size=12), st.data())
def test_whatever_notes_are_lost_or_reordered_the_last_word_about_each_ref_is_the_truth(
    pushes: list[tuple[str, str]], data: st.DataObject
) -> None:
    current: dict[str, str] = {}
    notes: list[RefUpdate] = []
    for ref, new in pushes:
        notes.append(RefUpdate(ref, current.get(ref, ZERO_SHA), new))
        current = told_after(current, notes[-1:])
    survived = [note for note in notes if data.draw(st.booleans())]
    seen = data.draw(st.permutations(survived))
    told = told_after({}, seen)
    missed = missed_updates(told, current)
    assert told_after(told, missed) == current
    assert missed_updates(current, current) == ()
    if seen == notes:
        assert missed == ()


def test_the_refs_of_a_listing_leave_out_what_ci_could_not_be_told() -> None:
    listing = b"a" * 40 + b" refs/heads/main\n" + b"b" * 40 + b" refs/heads/\xff\n"
    listing += b"c" * 40 + b" refs/heads/" + b"x" * 300 + b"\n" + b"d" * 40 + b" refs/procurator/3\n"
    assert refs_of(listing) == {"refs/heads/main": "a" * 40}
    assert refs_of(b"") == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/demo/example.git/info/refs", GitPath("demo/example", "info/refs")),
        ("/demo/example/info/refs", GitPath("demo/example", "info/refs")),
        ("/demo/example/git-upload-pack", GitPath("demo/example", "git-upload-pack")),
        ("/demo/example.git/git-receive-pack", GitPath("demo/example", "git-receive-pack")),
        ("/demo/example.git.git/git-receive-pack", GitPath("demo/example.git", "git-receive-pack")),
        ("/demo/example.git/git-upload-archive", None),
        ("/demo/example.git/HEAD", None),
        ("/a/demo/example.git/info/refs", None),
        ("/example.git/info/refs", None),
        ("//x.git/info/refs", None),
        ("/", None),
    ],
)
def test_only_the_three_smart_services_of_an_owner_and_name_are_gits(path: str, expected: GitPath | None) -> None:
    assert git_path(path) == expected


def test_good_names_and_branches_are_taken_as_they_are() -> None:
    for name in ("demo/example", "a/b", "0/9", "team-x/web_site.v2"):
        assert repository_name(name) == name
    for branch in ("main", "release/1.2", "a+b", "_x"):
        assert branch_name(branch) == branch


def test_a_reserved_owner_is_named_in_the_refusal() -> None:
    with pytest.raises(InvalidInput, match="'api' is taken"):
        repository_name("api/example")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:3001", "[::1]:3001", "localhost", "LOCALHOST:1", "hub.example:80", "10.0.0.1"]
)
def test_our_own_names_and_every_address_are_ours(host: str) -> None:
    check_host(host, allowed={"hub.example"})


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "hub.example.evil"]
)
def test_other_names_are_not(host: str) -> None:
    with pytest.raises(PermissionDenied, match="allowed_hosts"):
        check_host(host, allowed={"hub.example"})


@pytest.mark.parametrize("host", ["", "a b", "x/y", "u@127.0.0.1", "[::1", ":80"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(InvalidInput):
        host_of(host)


def test_a_request_of_the_same_origin_or_of_no_browser_may_change_things() -> None:
    json = {"content-type": "application/json; charset=utf-8", "host": "hub.example:3001"}
    check_same_site(json, content_type="application/json")
    check_same_site(json | {"origin": "http://hub.example:3001"}, content_type="application/json")
    check_same_site(json | {"sec-fetch-site": "same-origin"}, content_type="application/json")
    for origin in ("http://hub.example", "ftp://hub.example:3001", "null", "http://hub.example:3001.evil", ""):
        with pytest.raises(PermissionDenied):
            check_same_site(json | {"origin": origin}, content_type="application/json")


def a_cgi_request(**changes: object) -> CgiRequest:
    plain: dict[str, object] = {
        "repository": "demo/example",
        "service": "git-receive-pack",
        "method": "POST",
        "query": "",
        "headers": {"content-type": "application/x-git-receive-pack-request", "content-length": "12"},
        "client": "127.0.0.1",
    }
    return cgi_request(**(plain | changes))  # type: ignore[arg-type]  # a builder: every field may be changed


def test_a_push_becomes_exactly_these_cgi_variables() -> None:
    assert cgi_environment(a_cgi_request(), root="/repositories", page="http://hub/demo/example") == {
        "GIT_PROJECT_ROOT": "/repositories",
        "GIT_HTTP_EXPORT_ALL": "1",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/demo/example.git/git-receive-pack",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/x-git-receive-pack-request",
        "CONTENT_LENGTH": "12",
        "REMOTE_ADDR": "127.0.0.1",
        "PROCURATOR_PAGE": "http://hub/demo/example",
    }


def test_an_advertisement_carries_the_protocol_and_nothing_of_a_body() -> None:
    request = a_cgi_request(
        service="info/refs",
        method="GET",
        query="service=git-upload-pack",
        headers={"git-protocol": "version=2", "content-length": "5", "content-encoding": "gzip"},
        client="evil\nHEADER=1",
    )
    env = cgi_environment(request, root="/r", page="")
    assert env["GIT_PROTOCOL"] == "version=2"
    assert env["QUERY_STRING"] == "service=git-upload-pack"
    assert env["REMOTE_ADDR"] == ""
    assert not {"CONTENT_LENGTH", "HTTP_CONTENT_ENCODING"} & env.keys()
    assert not request.is_push


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-git-receive-pack-request", "content-length": "-1"},
        {"content-type": "application/x-git-receive-pack-request", "content-length": "1e9"},
        {"content-type": "application/x-git-receive-pack-request", "content-encoding": "br"},
    ],
)
def test_a_request_that_is_not_gits_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        a_cgi_request(headers=headers)


def test_a_compressed_body_is_announced_and_a_strange_protocol_is_dropped() -> None:
    headers = {
        "content-type": "application/x-git-receive-pack-request",
        "content-encoding": "gzip",
        "git-protocol": "version=2:$(x)",
    }
    env = cgi_environment(a_cgi_request(headers=headers), root="/r", page="")
    assert env["HTTP_CONTENT_ENCODING"] == "gzip"
    assert "GIT_PROTOCOL" not in env


def test_git_reads_no_file_of_the_machine_and_only_our_settings() -> None:
    config = git_config(hooks="/r/hooks", repository="/r", limits=GitLimits(max_push_bytes=5))
    env = git_environment(config, path="/bin", home="/nowhere")
    assert env["GIT_CONFIG_NOSYSTEM"] == "1"
    assert env["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert env["GIT_TERMINAL_PROMPT"] == "0"
    pairs = [(env[f"GIT_CONFIG_KEY_{n}"], env[f"GIT_CONFIG_VALUE_{n}"]) for n in range(int(env["GIT_CONFIG_COUNT"]))]
    assert pairs == list(config)
    for pair in (
        ("core.hooksPath", "/r/hooks"),
        ("receive.fsckObjects", "true"),
        ("protocol.allow", "never"),
        ("receive.maxInputSize", "5"),
        ("safe.directory", "/r"),
    ):
        assert pair in pairs


def test_a_cgi_header_is_split_off_with_only_the_headers_that_are_for_the_client() -> None:
    assert split_head(b"Status: 404 Not Found\r\nContent-Type: text/plain") is None
    found = split_head(b"Status: 404 Not Found\r\nContent-Type: text/plain\r\nX-Evil: 1\r\n\r\nbody\r\n\r\n")
    assert found is not None
    assert found[0].status == 404
    assert found[0].headers == ((b"content-type", b"text/plain"),)
    assert found[1] == b"body\r\n\r\n"
    for broken in (b"x" * 20_000, b"no colon\r\n\r\n"):
        with pytest.raises(Unavailable):
            split_head(broken)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_is_delivered(status: int) -> None:
    assert verdict_of(status, "") == Delivered()


@pytest.mark.parametrize("status", [301, 401, 403, 408, 429, 500, 502, 503])
def test_what_can_be_repaired_is_tried_again(status: int) -> None:
    assert isinstance(verdict_of(status, "x"), Retry)


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_other_4xx_are_refusals_with_what_ci_said(status: int) -> None:
    assert verdict_of(status, " no\n\x1b[31mway ") == Refusal(f"CI answered {status}: no way")


def test_the_back_off_doubles_up_to_its_limit() -> None:
    assert [delay_after(n) for n in (1, 2, 3, 4)] == [0.25, 0.5, 1.0, 2.0]
    assert delay_after(1000) == 30.0


def test_a_repository_is_quiet_only_while_nobody_pushes() -> None:
    activity = Activity()
    moment = activity.quiet("a/b")
    assert moment is not None
    assert activity.still(moment)
    activity.begin("a/b")
    assert activity.quiet("a/b") is None
    activity.end("a/b")
    assert not activity.still(moment)
    assert activity.quiet("a/b") is not None


def test_times_and_amounts_are_written_for_people() -> None:
    durations = {
        -5: "0 ms",
        340: "340 ms",
        4200: "4.2 s",
        59_960: "1 min",
        185_000: "3 min 5 s",
        7_800_000: "2 h 10 min",
    }
    assert {ms: words.duration(ms) for ms in durations} == durations
    assert words.duration(7_800_000) == "2 h 10 min"
    assert words.duration(273_600_000) == "3 d 4 h"
    agos = {0: "just now", 12_000: "12 s ago", 200_000: "3 min ago", 7_300_000: "2 h ago", 200_000_000: "2 d ago"}
    assert {ms: words.ago(ms) for ms in agos} == agos
    assert words.moment(0) == "1970-01-01 00:00:00 UTC"
    assert words.moment(10**30).startswith("9999")
    assert (words.mebibytes(512), words.mebibytes(3994)) == ("512 MiB", "3.9 GiB")
    assert words.short_ref("refs/heads/a/b") == "a/b"
    assert words.short_ref("refs/tags/v1") == "tag v1"
    assert (words.plural(1, "VM"), words.plural(0, "VM")) == ("1 VM", "0 VMs")


@given(st.text())
def test_plain_text_has_no_control_characters_and_one_line_is_one_line(text: str) -> None:
    shown = words.plain(text)
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
    assert "\n" not in words.one_line(text)
    assert len(words.one_line(text)) <= 120


@given(st.text())
def test_no_text_becomes_markup(text: str) -> None:
    template = Renderer().environment.from_string("<p>{{ text }}</p>")
    inside = template.render(text=text)[3:-4]
    assert "<" not in inside
    assert '"' not in inside


def test_every_state_has_its_tone() -> None:
    assert BUILD.keys() == set(BuildState)
    assert STAGE.keys() == set(StageState)
    assert CONVERGENCE.keys() == set(Convergence)
    assert ROLLOUT.keys() == set(RolloutState)
    assert PHASE.keys() == set(VmPhase)
    assert WORKER.keys() == set(WorkerState)
    assert VIEW.keys() == set(View)


def test_settings_know_their_own_host_and_refuse_half_an_address() -> None:
    ci = CiSettings.model_validate({"hook_token_file": "/t"})
    settings = Settings(
        listen=ListenSettings(http="[::1]:0"),
        site=SiteSettings(base_url="https://Hub.example/x", allowed_hosts=("Other.example",)),
        ci=ci,
    )
    assert (settings.listen.host, settings.listen.port) == ("::1", 0)
    assert settings.allowed_hosts == {"hub.example", "other.example", "::1"}
    for wrong in ({"address": "h:1"}, {"socket": "/s", "address": "h:1", "token_file": "/t"}):
        with pytest.raises(ValueError, match="address"):
            ControlPlaneSettings.model_validate(wrong)
