import contextlib
import io
import tarfile

import pytest

from efdet_jax.errors import UsageError
from efdet_jax.weights.files import archives


def member(name, content=b"numbers", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, io.BytesIO(content)


@pytest.fixture
def pack(tmp_path):
    def write(*members, mode="w:gz"):
        path = tmp_path / "packed"
        with tarfile.open(path, mode) as archive:
            for info, content in members:
                archive.addfile(info, content)
        return path

    return write


def refused(path):
    with pytest.raises(UsageError) as caught, archives.unpacked(path, most=100):
        pass
    message = str(caught.value)
    assert str(path) in message
    assert message.isprintable()
    return message


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_files_keep_their_folders_and_are_gone_afterwards(pack, mode):
    folder = member("d0", b"", type=tarfile.DIRTYPE)
    path = pack(folder, member("d0/a", b"one"), member("./d0/b/c", b"two"), mode=mode)
    with archives.unpacked(path, most=100) as root:
        assert (root / "d0" / "a").read_bytes() == b"one"
        assert (root / "d0" / "b" / "c").read_bytes() == b"two"
        assert len([found for found in root.rglob("*") if found.is_file()]) == 2
    assert not root.exists()


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/out", "a/.."])
def test_a_member_that_leads_out_is_refused(pack, tmp_path, name):
    assert "leads out of the archive" in refused(pack(member(name)))
    assert not list(tmp_path.rglob("out"))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE],
)
def test_links_and_devices_are_refused(pack, kind):
    odd = member("model.index", b"", type=kind, linkname="/etc/passwd")
    assert "'model.index' is no regular file" in refused(pack(odd))


def test_a_name_cannot_hide_itself_in_the_message(pack):
    assert "leads out" in refused(pack(member("../\x1b[2Ja\nb")))


def test_an_archive_that_would_fill_the_disk_is_refused_before_it_does(pack):
    path = pack(member("a", bytes(50)), member("b", bytes(51)))
    assert "'b' makes it larger than 100 bytes" in refused(path)


def test_the_folder_is_gone_when_reading_fails(pack):
    path = pack(member("a"))
    with (
        contextlib.suppress(ValueError),
        archives.unpacked(path, most=100) as root,
    ):
        raise ValueError
    assert not root.exists()
