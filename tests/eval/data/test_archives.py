"""Single files taken out of archives, also out of hostile and broken ones."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from fgvp_eval.data.fetching.archives import extract
from fgvp_eval.errors import DataError

REFS = "refs(unc).p"


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def write_tar(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for name, where in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, where
            file.addfile(info)
    return path


@pytest.mark.parametrize(("write", "name"), [(write_zip, "a.zip"), (write_tar, "a.tar.gz")])
def test_only_the_wanted_files_are_taken(tmp_path: Path, write: object, name: str) -> None:
    members = {
        "refcoco+/refs(unc).p": b"refs",
        "refcoco+/refs(google).p": b"other",
        "__MACOSX/refcoco+/refs(unc).p": b"metadata",
        "refcoco+/old/deep/refs(unc).p": b"old",
        "refcoco+/instances.json": b"{}",
    }
    archive = write(tmp_path / name, members)  # type: ignore[operator]
    root = tmp_path / "root"
    targets = {REFS: root / "refcoco+" / REFS, "absent.json": root / "absent.json"}
    assert extract(archive, targets) == {REFS}
    assert [path for path in root.rglob("*") if path.is_file()] == [targets[REFS]]
    assert targets[REFS].read_bytes() == b"refs"


@pytest.mark.parametrize(("write", "name"), [(write_zip, "a.zip"), (write_tar, "a.tar.gz")])
def test_paths_of_the_archive_lead_nowhere(tmp_path: Path, write: object, name: str) -> None:
    archive = write(  # type: ignore[operator]
        tmp_path / name, {"../../outside/refs(unc).p": b"refs", "/etc/instances.json": b"{}"}
    )
    root = tmp_path / "root"
    targets = {REFS: root / REFS, "instances.json": root / "instances.json"}
    extract(archive, targets)
    assert sorted(path.name for path in root.iterdir()) == ["instances.json", REFS]
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "root"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar.gz", {}, {f"refcoco/{REFS}": "/etc/passwd"})
    assert extract(archive, {REFS: tmp_path / REFS}) == set()
    assert not (tmp_path / REFS).exists()


@pytest.mark.parametrize(("write", "name"), [(write_zip, "a.zip"), (write_tar, "a.tar.gz")])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_truncated_archive_leaves_the_old_file(
    tmp_path: Path, write: object, name: str, kept: float
) -> None:
    content = bytes(range(256)) * 64
    archive = write(tmp_path / name, {f"x/{REFS}": content})  # type: ignore[operator]
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * kept)])
    target = tmp_path / REFS
    target.write_bytes(b"before")
    with pytest.raises(DataError, match=f"{name} is truncated or no archive"):
        extract(archive, {REFS: target})
    assert target.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, REFS]


def test_page_in_the_place_of_an_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("<html>gone</html>")
    with pytest.raises(DataError, match="is truncated or no archive"):
        extract(tmp_path / "a.zip", {REFS: tmp_path / REFS})


def test_members_larger_than_any_annotation_file_are_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {REFS: bytes(1 << 20)})
    whole = archive.read_bytes()
    size, claimed = (1 << 20).to_bytes(4, "little"), (2 << 30).to_bytes(4, "little")
    archive.write_bytes(whole.replace(size, claimed))  # as the index of 2 GiB of zeros has it
    with pytest.raises(DataError, match="would unpack to 2147483648 bytes; refused"):
        extract(archive, {REFS: tmp_path / REFS})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_wrong_crc_encryption_and_links_in_a_zip(tmp_path: Path, method: int) -> None:
    content = b"refs" * 500
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", method) as file:
        file.writestr(REFS, content)
    whole = archive.read_bytes()
    crc = zlib.crc32(content).to_bytes(4, "little")
    archive.write_bytes(whole.replace(crc, b"\0\1\2\3"))
    with pytest.raises(DataError, match="Bad CRC-32"):
        extract(archive, {REFS: tmp_path / REFS})
    first, index = whole.index(b"PK\3\4") + 6, whole.index(b"PK\1\2") + 8  # their flags
    encrypted = bytearray(whole)
    encrypted[first] |= 1
    encrypted[index] |= 1
    archive.write_bytes(encrypted)
    with pytest.raises(DataError, match="encrypted"):
        extract(archive, {REFS: tmp_path / REFS})
    link = zipfile.ZipInfo(REFS)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w", method) as file:
        file.writestr(link, "/etc/passwd")
    assert extract(archive, {REFS: tmp_path / REFS}) == set()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def test_files_that_are_wrong_are_not_taken(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {REFS: b"refs"})
    with pytest.raises(DataError, match=r"refs\(unc\)\.p of the archive: no good"):
        extract(archive, {REFS: tmp_path / REFS}, lambda path, name: "no good")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def test_damaged_member_is_noticed(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        file.writestr(REFS, b"A" * 1000)
    archive.write_bytes(archive.read_bytes().replace(b"A" * 1000, b"A" * 999 + b"B"))
    with pytest.raises(DataError, match="Bad CRC-32"):
        extract(archive, {REFS: tmp_path / REFS})
    assert not (tmp_path / REFS).exists()
