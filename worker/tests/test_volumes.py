"""Volumes are made once and never touched again."""

from pathlib import Path

from nix.run import run
from schema.blueprint import Volume
from worker.volumes import Volumes, volume_serial

DATA = {"data": Volume(size_mb=16, mount="/data")}


async def test_a_new_volume_is_a_sparse_file_with_an_ext4_in_it(tmp_path: Path) -> None:
    file = (await Volumes(tmp_path).ensure("db-0", DATA))["data"]
    stat = file.stat()
    assert (stat.st_size, stat.st_mode & 0o777) == (16 * 1024 * 1024, 0o600)
    assert stat.st_blocks * 512 < stat.st_size / 2
    said = await run(("dumpe2fs", "-h", str(file)), deadline=120, env={})
    assert b"clean" in said.stdout


async def test_a_volume_that_is_there_is_not_touched_whatever_is_wished_for(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path)
    file = (await volumes.ensure("db-0", DATA))["data"]
    file.write_bytes(b"precious")
    again = await volumes.ensure("db-0", {"data": Volume(size_mb=64, mount="/elsewhere")})
    assert again["data"].read_bytes() == b"precious"


async def test_a_volume_whose_making_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "db-0").mkdir()
    (tmp_path / "db-0/.data.raw.new").write_bytes(b"half")
    volumes = Volumes(tmp_path)
    assert volumes.on_disk() == {}
    await volumes.ensure("db-0", DATA)
    assert volumes.on_disk() == {"db-0": ("data",)}


def test_the_serial_fits_what_virtio_has_room_for() -> None:
    assert volume_serial("data") == "vol-3a6eb0790f39ac87"
    assert len(volume_serial("a" * 63)) == 20


async def test_a_volume_grows_and_never_shrinks_and_its_content_stays(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path)
    file = (await volumes.ensure("db-0", {"data": Volume(size_mb=16, mount="/data")}))["data"]
    before = file.read_bytes()
    assert volumes.grow("db-0", {"data": Volume(size_mb=24, mount="/data")}) == {"data": 24}
    assert file.stat().st_size == 24 << 20
    assert file.read_bytes()[: 16 << 20] == before
    assert volumes.grow("db-0", {"data": Volume(size_mb=8, mount="/data")}) == {}
    assert file.stat().st_size == 24 << 20
