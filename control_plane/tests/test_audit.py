"""The audit's chain: every change of what was written shows, secrets and floods stay out; then the same on disk."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.audit import (
    MOST_TEXT,
    OK,
    REFUSALS_AT_ONCE,
    AuditDraft,
    Head,
    Kept,
    Refusals,
    Verification,
    genesis,
    head_after,
    sealed,
)
from control_plane.tests.builders import EPOCH
from control_plane.tests.postgres import Home
from schema.errors import PermissionDenied, Unauthenticated
from schema.interfaces import Identity, Role
from schema.operations import AuditEntry, AuditVerdict

START = genesis(epoch=EPOCH, realm="default")


def a_chain(*subjects: str) -> list[AuditEntry]:
    head, entries = START, []
    for number, subject in enumerate(subjects):
        draft = AuditDraft("token:anna", "hold", "192.0.2.7", subject, old="{}", new='{"generation":3}')
        entries.append(sealed(draft, head=head, at_ms=1000 + number, result=OK))
        head = head_after(entries[-1])
    return entries


def verdict(entries: list[AuditEntry], head: Head, witness: Head | None = None) -> AuditVerdict:
    check = Verification(START, witness)
    check.take(entries)
    return check.verdict(Kept(head, head.rows))


CHAIN = a_chain("a", "b", "c", "d", "e")
HEAD = head_after(CHAIN[-1])
TEXTS = ("actor", "peer", "action", "subject", "old", "new", "result")


def test_what_was_written_holds() -> None:
    assert verdict(CHAIN, HEAD) == AuditVerdict(holds=True, rows=5)
    assert verdict([], START) == AuditVerdict(holds=True, rows=0)


@given(row=st.integers(0, 4), name=st.sampled_from([*TEXTS, "at_ms", "hash"]), text=st.text(min_size=1, max_size=5))
def test_any_changed_field_of_any_row_shows(row: int, name: str, text: str) -> None:
    value = 999 if name == "at_ms" else text + "!"
    changed = [*CHAIN[:row], CHAIN[row].model_copy(update={name: value}), *CHAIN[row + 1 :]]
    found = verdict(changed, HEAD)
    assert not found.holds
    assert found.broken_at == row + 1


def test_text_that_moved_from_one_field_to_the_next_shows() -> None:
    moved = CHAIN[2].model_copy(update={"subject": "", "old": CHAIN[2].subject + CHAIN[2].old})
    assert verdict([*CHAIN[:2], moved, *CHAIN[3:]], HEAD).broken_at == 3


@given(row=st.integers(0, 3))
def test_a_missing_row_shows(row: int) -> None:
    found = verdict([*CHAIN[:row], *CHAIN[row + 1 :]], HEAD)
    assert (found.holds, found.broken_at) == (False, row + 1)
    assert "missing" in found.reason


def test_rows_in_another_order_show_also_when_they_are_numbered_anew() -> None:
    swapped = [CHAIN[0], CHAIN[2].model_copy(update={"sequence": 2}), CHAIN[1].model_copy(update={"sequence": 3})]
    assert verdict([*swapped, *CHAIN[3:]], HEAD).broken_at == 2


@given(kept=st.integers(0, 4))
def test_rows_that_were_cut_off_at_the_end_show_against_the_head(kept: int) -> None:
    found = verdict(CHAIN[:kept], HEAD)
    assert (found.holds, found.broken_at) == (False, kept + 1)
    assert "missing" in found.reason


def test_rows_cut_off_together_with_the_head_show_against_a_witness() -> None:
    cut = CHAIN[:3]
    assert verdict(cut, head_after(cut[-1])).holds
    assert not verdict(cut, head_after(cut[-1]), witness=HEAD).holds


def test_a_chain_that_was_written_anew_shows_against_a_witness() -> None:
    forged = a_chain("a", "b", "forged", "d", "e")
    head = head_after(forged[-1])
    assert verdict(forged, head).holds
    found = verdict(forged, head, witness=head_after(CHAIN[3]))
    assert (found.holds, found.broken_at) == (False, 4)


def test_a_row_that_was_added_without_the_head_shows() -> None:
    more = a_chain("a", "b", "c", "d", "e", "f")
    assert not verdict(more, HEAD).holds


def test_another_databases_chain_shows() -> None:
    check = Verification(genesis(epoch="f" * 32, realm="default"))
    assert not check.take(CHAIN)
    assert check.verdict(Kept(HEAD, 5)).broken_at == 1


def test_text_is_bounded_and_cleaned() -> None:
    entry = sealed(AuditDraft("a", "b", new="x\x1b[31m\x00" + "y" * 10_000), head=START, at_ms=0, result=OK)
    assert len(entry.new) < MOST_TEXT + 120
    assert entry.new.startswith("xyyy")
    assert "10001 characters, sha256 " in entry.new


def test_a_draft_says_who_and_from_where() -> None:
    draft = AuditDraft.by(Identity("token:anna", Role.OPERATOR, "192.0.2.7"), "hold", subject="web")
    assert (draft.actor, draft.peer, draft.action, draft.subject) == ("token:anna", "192.0.2.7", "hold", "web")


def test_a_flood_of_refusals_is_bounded_and_its_size_is_told() -> None:
    refusals = Refusals()
    denied = PermissionDenied("a viewer may not")
    for _ in range(REFUSALS_AT_ONCE):
        assert refusals.admit(denied, now_ms=0) == "permission-denied: a viewer may not"
    assert [refusals.admit(denied, now_ms=second * 1000) for second in range(1, 10)] == [None] * 9
    assert (
        refusals.admit(denied, now_ms=10_000) == "permission-denied: a viewer may not (and 9 more refusals before it)"
    )


def test_knocking_without_a_credential_does_not_use_up_the_room_of_people() -> None:
    refusals = Refusals()
    for _ in range(REFUSALS_AT_ONCE * 2):
        refusals.admit(Unauthenticated("no such token"), now_ms=0)
    assert refusals.admit(PermissionDenied("no"), now_ms=0)


@given(st.lists(st.integers(0, 5_000), max_size=300))
def test_a_day_of_any_knocking_leaves_a_bounded_number_of_rows(pauses: list[int]) -> None:
    refusals, now_ms, rows = Refusals(), 0, 0
    for pause in pauses:
        now_ms += pause
        rows += refusals.admit(PermissionDenied("no"), now_ms=now_ms) is not None
    assert rows <= REFUSALS_AT_ONCE + now_ms / 10_000 + 1


def on_disk(home: Home, *subjects: str) -> None:
    database = home.open()
    snapshot = database.load("default")
    for entry in a_chain(*subjects):
        database.write(snapshot, snapshot, audit=(entry,))
    database.close()


def verdict_on_disk(home: Home, witness: Head | None = None) -> AuditVerdict:
    database = home.open()
    check = Verification(database.audit_start("default"), witness)
    while True:
        entries, kept = database.audit_chain("default", after=check.at.rows, most=2)
        if not check.take(entries) or len(entries) < 2:
            database.close()
            return check.verdict(kept)


def test_the_chain_on_disk_is_read_back_as_it_was_written(home: Home) -> None:
    on_disk(home, "a", "b", "c\N{SNOWMAN}", "d")
    assert verdict_on_disk(home) == AuditVerdict(holds=True, rows=4)
    database = home.open()
    assert [entry.subject for entry in database.audit_entries("default", limit=2, before=0)] == ["d", "c\N{SNOWMAN}"]
    assert [entry.sequence for entry in database.audit_entries("default", limit=0, before=3)] == [2, 1]
    assert database.audit_head("default") == head_after(a_chain("a", "b", "c\N{SNOWMAN}", "d")[-1])
    database.close()


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE audit SET result = 'ok!' WHERE sequence = 2",
        "DELETE FROM audit WHERE sequence = 2",
        "DELETE FROM audit WHERE sequence > 2",
        "UPDATE audit SET sequence = 20 WHERE sequence = 2",
        "DELETE FROM audit_heads",
        "UPDATE audit SET hash = (SELECT hash FROM audit WHERE sequence = 1) WHERE sequence = 2",
    ],
)
def test_what_somebody_does_to_the_rows_on_disk_shows(home: Home, harm: str) -> None:
    on_disk(home, "a", "b", "c")
    home.execute(harm)
    assert not verdict_on_disk(home).holds


EMPTIED = ("DELETE FROM audit", "DELETE FROM audit_heads")
CUT = (
    "DELETE FROM audit WHERE sequence = 3",
    "UPDATE audit_heads SET rows = 2, hash = (SELECT hash FROM audit WHERE sequence = 2)",
)


@pytest.mark.parametrize(("harm", "kept"), [(EMPTIED, 0), (CUT, 2)])
def test_a_chain_that_was_emptied_or_cut_with_its_head_shows_against_what_was_written(
    home: Home, harm: tuple[str, ...], kept: int
) -> None:
    on_disk(home, "a", "b", "c")
    home.execute(*harm)
    found = verdict_on_disk(home)
    assert (found.holds, found.broken_at) == (False, kept + 1)
    assert "there were 3 rows" in found.reason
    database = home.open()
    snapshot, head = database.load("default"), database.audit_head("default")
    draft = AuditDraft("token:anna", "hold")
    database.write(snapshot, snapshot, audit=(sealed(draft, head=head, at_ms=9, result=OK),))
    database.close()
    assert not verdict_on_disk(home).holds  # nor does the audit that goes on hide it


def test_a_head_on_disk_is_not_believed_over_what_was_noted_down(home: Home) -> None:
    on_disk(home, "a", "b", "c")
    chain = a_chain("a", "b", "c")
    home.execute(*CUT, "UPDATE database SET audited = 2")
    assert verdict_on_disk(home).holds
    assert not verdict_on_disk(home, witness=head_after(chain[-1])).holds
    assert not verdict_on_disk(home, witness=replace(head_after(chain[0]), hash="0" * 64)).holds
