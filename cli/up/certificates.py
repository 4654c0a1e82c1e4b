"""A local cluster's own CA and the control plane's certificate: made, kept, and renewed before they expire.

The secret halves are 0600 and never leave the directory. A CA that is renewed keeps its key, so that whoever copied its
certificate believes the next one too. It starts and restarts nothing.
"""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.up.credentials import replace_durably, write_once
from cli.up.layout import Files
from schema.errors import InvalidInput

CA_LASTS = timedelta(days=3650)
SERVER_LASTS = timedelta(days=397)
RENEWED_WITH_LEFT = 1 / 3
"""Renewed when this part of the whole time is left."""
_SLACK = timedelta(minutes=5)
"""Certificates begin a little before now: clocks differ."""


def ensure_certificates(files: Files, *, names: Sequence[str], now: datetime) -> bool:
    """Make what is missing, renew what is due or is for other names; whether the control plane's is a new one.

    `names` are DNS names and IP addresses. Raises InvalidInput for a damaged key and for one that others can read.
    """
    ca_key, ca = _ensure_ca(files, now=now)
    key = _ensure_key(files.key)
    known = _read_certificate(files.certificate)
    if known is not None and _is_good(known, key=key, ca=ca, names=names, now=now):
        return False
    fresh = _server_certificate(key, ca_key=ca_key, ca=ca, names=names, now=now)
    replace_durably(files.certificate, _pem(fresh))
    return True


def is_due(certificate: x509.Certificate, *, now: datetime) -> bool:
    """Whether so little of its time is left that it is renewed. `now` has a time zone."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return end - now < (end - begin) * RENEWED_WITH_LEFT


def _is_good(
    certificate: x509.Certificate,
    *,
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    names: Sequence[str],
    now: datetime,
) -> bool:
    if is_due(certificate, now=now) or certificate.public_key() != key.public_key():
        return False
    try:
        certificate.verify_directly_issued_by(ca)
        shown = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return shown == _alternative_names(names)


def _ensure_ca(files: Files, *, now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = _ensure_key(files.ca_key)
    known = _read_certificate(files.ca)
    if known is not None and known.public_key() == key.public_key() and not is_due(known, now=now):
        return key, known
    name = known.subject if known is not None else _name("Procurator CA of this machine")
    ca = (
        _blank(name, name, key.public_key(), signer=key, now=now, lasts=CA_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    replace_durably(files.ca, _pem(ca))
    return key, ca


def _server_certificate(
    key: ec.EllipticCurvePrivateKey,
    *,
    ca_key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    names: Sequence[str],
    now: datetime,
) -> x509.Certificate:
    return (
        _blank(
            _name("Procurator control plane"),
            ca.subject,
            key.public_key(),
            signer=ca_key,
            now=now,
            lasts=SERVER_LASTS,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_alternative_names(names), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _blank(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    *,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime,
    lasts: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _ensure_key(path: Path) -> ec.EllipticCurvePrivateKey:
    def make() -> str:
        return (
            ec.generate_private_key(ec.SECP256R1())
            .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            .decode()
        )

    write_once(path, make)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{path} is damaged: it holds no secret key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidInput(f"{path} holds another kind of key than the one that was made")
    return key


def _read_certificate(path: Path) -> x509.Certificate | None:
    """What is there; None where there is nothing that could be used: it is then made anew from the keys."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
