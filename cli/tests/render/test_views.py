import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.render import status_table
from cli.render.logs import MAX_LINE, LogLines
from cli.render.status import status_view
from cli.render.text import cell, duration, lines, table
from cli.render.values import as_json
from cli.render.verdict import verdict_text, verdict_view
from cli.render.vms import vm_lines, vm_table
from cli.tests.builders import COMMIT, a_generation, a_status, a_vm, a_worker
from cli.waiting import Outcome, Verdict
from schema.status import ClusterStatus, Convergence, RolloutState, View, VmPhase

HOSTILE = "\x1b[31mred\x1b[0m\x07\x9b2J\u202eevil\r\nnext\ttab"


def test_the_table_of_a_healthy_cluster() -> None:
    assert status_table(a_status()) == (
        "example  converged: 2 of 2 VMs are healthy on generation 3\n"
        "from demo/example main\n"
        "\n"
        "GENERATION  COMMIT      STATE      AGE\n"
        "3           cccccccccc  succeeded  60 s\n"
        "\n"
        "VM     GENERATION  WORKER    ADDRESS    PHASE    HEALTHY  UP\n"
        "web-0  3           worker-0  10.77.0.2  healthy  yes      3 min\n"
        "web-1  3           worker-0  10.77.0.2  healthy  yes      3 min\n"
        "\n"
        "WORKER    STATE  VMS  CPU  MEMORY        SUBNET        HYPERVISOR  SEEN\n"
        "worker-0  ready  2    2/4  256/8192 MiB  10.77.0.0/24  dev         1 s ago"
    )


def test_an_empty_cluster_has_a_table_too() -> None:
    empty = ClusterStatus(time_ms=1, epoch="e" * 32, convergence=Convergence.CONVERGED, reason="")
    assert status_table(empty) == "(no cluster yet)  converged\n\nno workers"
    assert vm_table((), wide=True) == "no VMs"


def test_what_went_wrong_is_shown_where_it_did() -> None:
    failed = a_generation(4, RolloutState.ROLLED_BACK, reason="web-0: no answer on port 80")
    vm = a_vm(
        generation=4,
        running_generation=3,
        healthy=False,
        drift=True,
        phase=VmPhase.UNHEALTHY,
        host_view=View.FAILING,
        reason="tcp 80: refused",
    )
    unplaced = a_vm("db-0", worker_id="", address="", running_ms=0, placement_reason="volume on worker-1")
    worker = a_worker(connected=False, observed_revision=4)
    text = status_table(a_status(Convergence.FAILED, failed, vms=(vm, unplaced), workers=(worker,)))
    assert "rolled-back  60 s  web-0: no answer on port 80" in text
    assert "4 (runs 3)" in text
    assert "unhealthy, drift  no (host)" in text
    assert "tcp 80: refused" in text
    assert "volume on worker-1" in text
    assert "ready, away" in text
    assert "1 s ago, behind" in text


def test_json_has_what_the_table_has() -> None:
    shown = json.loads(as_json(status_view(a_status())))
    assert shown["convergence"] == "converged"
    assert [vm["instance"] for vm in shown["vms"]] == ["web-0", "web-1"]
    assert shown["vms"][0]["controlPlaneView"] == "unknown"
    assert shown["workers"][0]["memoryMb"] == 8192
    assert shown["generations"][0] == {
        "number": 3,
        "commit": COMMIT,
        "state": "succeeded",
        "reason": "",
        "ageMs": 60_000,
    }


def test_instances_are_in_the_order_of_their_numbers() -> None:
    found = vm_lines(a_status(vms=(*(a_vm(f"web-{number}") for number in (10, 9, 0)), a_vm("db-0"))))
    assert [line.instance for line in found] == ["db-0", "web-0", "web-9", "web-10"]


def test_a_wide_table_has_ports_and_restarts() -> None:
    text = vm_table(vm_lines(a_status(vms=(a_vm(restarts=7),))), wide=True)
    assert text.splitlines()[1].endswith("http:80  7")


def test_nothing_that_came_from_outside_moves_the_terminal() -> None:
    status = a_status(
        Convergence.FAILED,
        a_generation(3, RolloutState.FAILED, reason=HOSTILE),
        reason=HOSTILE,
        cluster=HOSTILE,
        vms=(a_vm(reason=HOSTILE, ports=(HOSTILE,), address=HOSTILE),),
        workers=(a_worker(HOSTILE),),
    )
    verdict = Verdict(Outcome.FAILED, HOSTILE, 3, COMMIT, (HOSTILE,))
    shown = [status_table(status), vm_table(vm_lines(status), wide=True), lines(verdict_text(verdict))]
    shown += [as_json(status_view(status)), as_json(verdict_view(verdict))]
    for text in shown:
        assert all(character in "\n\t" or character.isprintable() for character in text)
        assert "\u202e" not in text


@given(st.text())
def test_a_cell_is_one_printable_line(text: str) -> None:
    assert "\n" not in cell(text)
    assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in cell(text))


def test_columns_line_up_without_trailing_spaces() -> None:
    assert table(("A", "BB"), [("long", ""), ("x", "y")]) == "A     BB\nlong\nx     y"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        *((0, "0 ms"), (999, "999 ms"), (1000, "1 s"), (119_999, "119 s")),
        *((120_000, "2 min"), (7_200_000, "2 h"), (172_800_000, "2 d")),
    ],
)
def test_durations(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text


def test_a_log_is_cut_into_lines_wherever_the_pieces_end() -> None:
    whole = "first\r\n\x1b[1;31mred\x1b[0m ünd\nno end".encode()
    for cut in range(len(whole) + 1):
        log = LogLines()
        assert [*log.feed(whole[:cut]), *log.feed(whole[cut:]), *log.end()] == ["first", "red ünd", "no end"]


def test_bytes_that_are_no_text_and_lines_without_an_end_do_no_harm() -> None:
    log = LogLines()
    assert log.feed(b"\xff\xfe\x00ok\n") == ["��ok"]
    assert [len(line) for line in log.feed(b"x" * (MAX_LINE + 5))] == [MAX_LINE + 5]
    assert log.end() == []


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_no_log_moves_the_terminal(pieces: list[bytes]) -> None:
    log = LogLines()
    found = [line for piece in pieces for line in log.feed(piece)] + log.end()
    for line in found:
        assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in line.replace("\t", ""))


def test_a_verdict_is_one_line_and_the_log_below_it() -> None:
    verdict = Verdict(Outcome.ROLLED_BACK, "web-0 did not get healthy", 4, COMMIT)
    assert verdict_text(verdict) == "rolled-back: generation 4 (cccccccccc): web-0 did not get healthy"
    failed = Verdict(Outcome.FAILED, "evaluate", None, COMMIT, ("one", "two"))
    assert verdict_text(failed) == "failed: nothing published (cccccccccc): evaluate\n  | one\n  | two"
