"""A CA of the tests and what it signs; other packages' tests may use it."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from schema.rpc.transport.tls import ClientTls, ServerTls

NAME = "control-plane.test"
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
BEGIN = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Certificates:
    """A server's settings and those of a client that believes it."""

    server: ServerTls
    client: ClientTls


def certificates(
    directory: Path, *, name: str = NAME, end: datetime.datetime = END, key: Key | None = None
) -> Certificates:
    """A new CA in `directory`, and a server's certificate for `name` signed by it; `key` is the server's."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), key or ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "procurator tests")])
    ca = (
        _blank(ca_name, ca_name, ca_key.public_key(), END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    leaf = (
        _blank(subject, ca_name, key.public_key(), end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    files = {name: directory / name for name in ("ca.pem", "server.pem", "server.key")}
    files["ca.pem"].write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files["server.pem"].write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    files["server.key"].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Certificates(ServerTls(files["server.pem"], files["server.key"]), ClientTls(files["ca.pem"], name))


def _blank(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, end: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(end)
    )
