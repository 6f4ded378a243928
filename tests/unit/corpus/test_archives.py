import io
import json
import tarfile
import zipfile

import pytest
from click.testing import CliRunner

from linewise.errors import LinewiseError
from linewise_training.corpus import Harvest, Skipped, archives, corpus_command, debian
from linewise_training.corpus.archives import archive, archive_files

GOOD = "def add(first, second):\n    return first + second\n\n\nprint(add(1, 2), add(3, 4), add(5, 6))\n"
METADATA = "Metadata-Version: 2.1\nName: Some.Package\nVersion: 1.2\n"


def wheel(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return path


def tar_bytes(files, mode="w:gz"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as opened:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            opened.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def member(name, content):
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def deb(path, files, copyright_text):
    doc = {"./usr/share/doc/python3-some/copyright": copyright_text}
    control = "Package: python3-some\nVersion: 1:2.3-4\n"
    path.write_bytes(
        b"!<arch>\n"
        + member("debian-binary", b"2.0\n")
        + member("control.tar.xz", tar_bytes({"./control": control}, "w:xz"))
        + member("data.tar.xz", tar_bytes({**files, **doc}, "w:xz"))
    )
    return path


def verdicts(origin):
    return {
        file.path: file.reason if isinstance(file, Skipped) else file.licence
        for file in Harvest().walk(origin)
    }


def test_a_wheel_says_its_name_version_and_licence(tmp_path):
    path = wheel(
        tmp_path / "some_package-1.2-py3-none-any.whl",
        {
            "some_package/core.py": GOOD,
            "some_package/data.json": "{}",
            "some_package-1.2.dist-info/METADATA": METADATA + "License-Expression: MIT\n",
        },
    )
    origin = archive(path)
    assert (origin.name, origin.version, origin.licence) == ("some-package", "1.2", "MIT")
    assert verdicts(origin) == {"some_package/core.py": "MIT"}


def test_a_source_distribution_is_read_below_its_top_folder(tmp_path, mit):
    path = tmp_path / "some-package-1.2.tar.gz"
    path.write_bytes(
        tar_bytes(
            {
                "some-package-1.2/PKG-INFO": METADATA,
                "some-package-1.2/LICENSE": mit,
                "some-package-1.2/src/core.py": GOOD,
                "some-package-1.2/tests/test_core.py": GOOD + "#\n",
            }
        )
    )
    origin = archive(path)
    assert (origin.name, origin.licence) == ("some-package", "MIT")
    assert verdicts(origin) == {"src/core.py": "MIT", "tests/test_core.py": "test"}


def test_an_archive_without_metadata_goes_by_its_licence_file_or_the_one_that_is_named(tmp_path, mit):
    licensed = wheel(tmp_path / "a.zip", {"top/LICENSE": mit, "top/code.py": GOOD})
    bare = wheel(tmp_path / "b.zip", {"code.py": GOOD})
    assert (archive(licensed).name, archive(licensed, "ISC").licence) == ("a", "MIT")
    assert archive(licensed).files == ("code.py",)
    assert archive(bare).licence is None
    assert archive(bare, "ISC").licence == "ISC"


def test_a_licence_that_is_named_for_others_is_not_given_to_a_package_that_states_its_own(tmp_path):
    path = wheel(
        tmp_path / "p-1-py3-none-any.whl",
        {"p.py": GOOD, "p-1.dist-info/METADATA": METADATA + "License: All rights reserved\n"},
    )
    assert verdicts(archive(path, "MIT")) == {"p.py": "licence"}


def test_paths_that_lead_out_and_links_are_not_looked_at(tmp_path):
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as opened:
        for name in ("/etc/evil.py", "../evil.py", "fine.py"):
            entry = tarfile.TarInfo(name)
            entry.size = len(GOOD)
            opened.addfile(entry, io.BytesIO(GOOD.encode()))
        link = tarfile.TarInfo("link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        opened.addfile(link)
    assert archive(path).files == ("fine.py",)


def test_what_is_too_large_is_not_kept(tmp_path, monkeypatch):
    path = wheel(tmp_path / "big.zip", {"big.py": GOOD * 100, "small.py": GOOD})
    monkeypatch.setattr(archives, "MAX_MEMBER", 1000)
    assert verdicts(archive(path, "MIT")) == {"big.py": "unreadable", "small.py": "MIT"}
    monkeypatch.setattr(archives, "MAX_UNPACKED", 5000)
    with pytest.raises(LinewiseError, match=r"big\.zip.*unpacks to more"):
        archive(path)


COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: some

Files: *
Copyright: 2020 A. Person
License: Expat

Files: some/gpl/*
Copyright: 2020 A. Person
License: GPL-2+

Files: python/some/other.py
Copyright: 2020 A. Person
License: GPL-2+ or BSD-own

Files: debian/*
Copyright: 2020 B. Person
License: GPL-2+

License: BSD-own
 Redistribution and use in source and binary forms, with or without modification, are permitted.
 Neither the name of the author may be used.
"""


def test_a_debian_package_has_a_licence_for_each_file(tmp_path):
    root = "./usr/lib/python3/dist-packages/some"
    path = deb(
        tmp_path / "python3-some_2.3-4_all.deb",
        {f"{root}/core.py": GOOD, f"{root}/gpl/core.py": GOOD + "#\n", f"{root}/other.py": GOOD + "##\n"},
        COPYRIGHT,
    )
    origin = archive(path)
    assert (origin.name, origin.version) == ("python3-some", "1:2.3-4")
    root = root.removeprefix("./")
    assert verdicts(origin) == {
        f"{root}/core.py": "MIT",
        f"{root}/gpl/core.py": "licence",
        f"{root}/other.py": "MIT AND (LicenseRef-GPL-2 OR BSD-3-Clause)",
    }


def test_patterns_of_source_paths_are_understood_wherever_the_file_is_installed():
    rules = debian.copyright_of(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
        "Files: *\nLicense: PSF-2\n\nFiles: Lib/profile.py\n  tools/*\nLicense: Expat and ISC, or GPL-2\n"
    )
    assert rules.licence_of("usr/lib/python3.11/ast.py") == "PSF-2.0"
    other = "PSF-2.0 AND (MIT AND ISC OR LicenseRef-GPL-2)"
    assert rules.licence_of("usr/lib/python3.11/profile.py") == other
    assert rules.licence_of("usr/lib/python3/dist-packages/profile.py") == other
    assert rules.licence_of("usr/lib/python3/dist-packages/other/profile.py") == "PSF-2.0"


def test_a_debian_package_whose_copyright_cannot_be_read_by_machine_has_no_licence(tmp_path):
    path = deb(tmp_path / "x.deb", {"./usr/lib/python3/dist-packages/x.py": GOOD}, "It is all MIT, really.")
    assert set(verdicts(archive(path)).values()) == {"licence"}


def test_a_folder_of_archives_is_taken_in_order_and_a_damaged_one_is_named_and_left_out(tmp_path, mit):
    folder = tmp_path / "archives"
    folder.mkdir()
    wheel(folder / "b.zip", {"top/LICENSE": mit, "top/b.py": GOOD})
    (folder / "a.deb").write_bytes(b"!<arch>\nnonsense")
    (folder / "c.tar.gz").write_bytes(tar_bytes({"c.py": GOOD})[:-20])
    (folder / "notes.txt").write_text("no archive")
    assert [path.name for path in archive_files([folder])] == ["c.tar.gz", "b.zip", "a.deb"]
    done = CliRunner().invoke(
        corpus_command, ["--out", str(tmp_path / "out"), "--archive", str(folder), "--licence", "MIT"]
    )
    assert done.exit_code == 0, done.output
    assert "a.deb" in done.output
    assert "c.tar.gz" in done.output
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["files_by_origin"] == {"b": 1}
    assert manifest["files_skipped"] == {"unreadable archive": 2}


def test_an_archive_that_was_asked_for_by_name_and_cannot_be_read_is_a_fault_and_the_rest_is_kept(
    tmp_path, mit
):
    damaged, fine = tmp_path / "damaged.whl", wheel(tmp_path / "b.zip", {"t/LICENSE": mit, "t/b.py": GOOD})
    damaged.write_text("no archive")
    out = tmp_path / "out"
    options = ["--out", str(out), "--archive", str(damaged), "--archive", str(fine)]
    done = CliRunner().invoke(corpus_command, options)
    assert done.exit_code == 1
    assert "damaged.whl" in done.output.splitlines()[-1]
    assert versions(out) == [("b", "")]
    assert json.loads((out / "manifest.json").read_text())["files"] == 1


def named_wheel(folder, name, version, code):
    info = f"{name}-{version}.dist-info/METADATA"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
    wheel(folder / f"{name}-{version}-py3-none-any.whl", {f"{name}/core.py": code, info: metadata})


def other(word):
    """A text that is nothing like `GOOD`, and different for each word."""
    return "".join(f"def {word}_{letter}({letter}_{word}):\n    return {word}\n" for letter in "abcdefgh")


def corpus(*arguments):
    done = CliRunner().invoke(corpus_command, list(map(str, arguments)))
    assert done.exit_code == 0, done.output


def versions(out):
    rows = map(json.loads, (out / "files.jsonl").read_text().splitlines())
    return sorted((row["origin"], row["version"]) for row in rows)


def test_of_a_package_the_newest_archive_is_taken_and_no_other(tmp_path):
    folder = tmp_path / "archives"
    folder.mkdir()
    for version in ("1.9", "1.10", "1.2"):
        named_wheel(folder, "some", version, GOOD + f"# of {version}\n")
    deb(folder / "python3-some_0_all.deb", {"./usr/lib/python3/dist-packages/some/x.py": GOOD}, COPYRIGHT)
    corpus("--out", tmp_path / "out", "--archive", folder)
    assert versions(tmp_path / "out") == [("some", "1.10")]


def test_a_second_part_of_a_corpus_has_nothing_of_the_first(tmp_path, tree, mit):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    named_wheel(one, "some", "1", GOOD)
    named_wheel(two, "some", "2", other("two"))
    named_wheel(two, "other", "1", other("three"))
    root = tree({"LICENSE": mit, "same.py": GOOD, "new.py": other("four")})
    corpus("--out", tmp_path / "first", "--archive", one)
    corpus("--out", tmp_path / "second", "--archive", two, "--folder", root, "--beside", tmp_path / "first")
    assert versions(tmp_path / "second") == [("other", "1"), ("project", "")]
    third = ["--out", str(tmp_path / "third"), "--beside", str(one), "--archive", str(two)]
    done = CliRunner().invoke(corpus_command, third)
    assert done.exit_code == 1
    assert "files.jsonl" in done.output
    (one / "files.jsonl").write_text('{"origin": "some"}\n')
    done = CliRunner().invoke(corpus_command, third)
    assert done.exit_code == 1
    assert "line 1 of" in done.output
