"""The CA and the certificate of a local cluster: believed by real TLS, renewed in time, never weakened."""

import ssl
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import socketpair

import pytest
from cryptography import x509

from cli.up.certificates import CA_LASTS, SERVER_LASTS, ensure_certificates, is_due
from cli.up.layout import Files
from schema.errors import InvalidInput

NAMES = ("localhost", "127.0.0.1", "::1")
NOW = datetime.now(UTC)


def made(directory: Path, *, names: Sequence[str] = NAMES, now: datetime = NOW) -> tuple[Files, bool]:
    files = Files(directory)
    return files, ensure_certificates(files, names=names, now=now)


def shaken(files: Files, name: str, *, ca: Path | None = None) -> None:
    """A handshake of OpenSSL with itself. Raises ssl.SSLError when `ca` does not make `name` believed."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    client.load_verify_locations(ca or files.ca)
    ours, theirs = socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(ours, server_hostname=name).close()
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize("name", [*NAMES, "cp.example"])
def test_whoever_has_the_ca_believes_the_control_plane_under_each_of_its_names(tmp_path: Path, name: str) -> None:
    files, is_new = made(tmp_path, names=(*NAMES, "cp.example"))
    assert is_new
    shaken(files, name)


def test_another_name_and_another_ca_are_not_believed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (files, _), (other, _) = made(tmp_path / "a"), made(tmp_path / "b")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(files, "cp.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(files, "localhost", ca=other.ca)


def test_again_changes_nothing_until_a_third_of_its_time_is_left(tmp_path: Path) -> None:
    made(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert not made(tmp_path, now=NOW + SERVER_LASTS * 0.6)[1]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert made(tmp_path, now=NOW + SERVER_LASTS * 0.7)[1]
    assert {path.name for path, text in before.items() if path.read_bytes() != text} == {"control-plane.crt"}


def test_a_renewed_ca_is_believed_by_whoever_has_the_old_one(tmp_path: Path) -> None:
    files, _ = made(tmp_path, now=NOW - CA_LASTS * 0.7)
    old = tmp_path / "copied.crt"
    old.write_bytes(files.ca.read_bytes())
    assert made(tmp_path)[1]
    assert files.ca.read_bytes() != old.read_bytes()
    shaken(files, "localhost", ca=old)
    shaken(files, "localhost")


def test_other_names_make_another_certificate(tmp_path: Path) -> None:
    files, _ = made(tmp_path)
    assert made(tmp_path, names=(*NAMES, "cp.example"))[1]
    shaken(files, "cp.example")


@pytest.mark.parametrize("lost", ["ca.crt", "control-plane.crt", "control-plane.key"])
def test_what_is_lost_is_made_again_and_believed(tmp_path: Path, lost: str) -> None:
    files, _ = made(tmp_path)
    (tmp_path / lost).unlink()
    made(tmp_path)
    shaken(files, "localhost")


def test_a_certificate_of_another_ca_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (files, _), (other, _) = made(tmp_path / "a"), made(tmp_path / "b")
    files.certificate.write_bytes(other.certificate.read_bytes())
    files.key.write_bytes(other.key.read_bytes())
    assert made(tmp_path / "a")[1]
    shaken(files, "localhost")


def test_secrets_are_private_and_a_damaged_or_readable_one_is_refused(tmp_path: Path) -> None:
    files, _ = made(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    files.ca_key.chmod(0o644)
    with pytest.raises(InvalidInput, match="chmod 600"):
        made(tmp_path)
    files.ca_key.chmod(0o600)
    files.ca_key.write_text("rubbish")
    with pytest.raises(InvalidInput, match=r"ca\.key is damaged"):
        made(tmp_path)


def test_a_certificate_is_due_with_a_third_left(tmp_path: Path) -> None:
    files, _ = made(tmp_path)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    end = certificate.not_valid_after_utc
    assert not is_due(certificate, now=end - SERVER_LASTS / 3 - timedelta(days=1))
    assert is_due(certificate, now=end - SERVER_LASTS / 3 + timedelta(days=1))
