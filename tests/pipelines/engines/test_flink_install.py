"""What is looked for and what is taken from Flink's archive."""

import io
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pipelines.engines import flink_install
from pipelines.engines.errors import EngineError, MissingToolError
from pipelines.engines.flink_config import resource


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "11.0.2"', 11),
        ("Error: could not create the Java Virtual Machine", 0),
        ("", 0),
    ],
)
def test_java_major(text: str, major: int) -> None:
    assert flink_install.java_major(text) == major


def fake_java(home: Path, version: str) -> Path:
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)
    return java


def test_java_home_comes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(tmp_path / "old", "11.0.2")
    java = fake_java(tmp_path / "new", "17.0.1")
    monkeypatch.setenv("PATH", str(tmp_path / "old" / "bin"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "new"))
    assert flink_install.find_java() == str(java)
    monkeypatch.delenv("JAVA_HOME")
    with pytest.raises(MissingToolError, match=r"old/bin/java is version 11.*openjdk-17"):
        flink_install.find_java()


def test_a_java_home_without_java_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(MissingToolError, match=f"JAVA_HOME={tmp_path} holds no bin/java"):
        flink_install.find_java()


def test_without_maven_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="apt-get install maven"):
        flink_install.find_maven()


def archive_of(folder: Path, names: list[str]) -> Path:
    path = folder / "apache-flink-libraries-9.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    return path


def test_only_the_jars_of_a_cluster_are_unpacked(tmp_path: Path) -> None:
    lib = "apache-flink-libraries-9/deps/lib"
    wanted = [f"{lib}/flink-dist-9.jar", f"{lib}/log4j-core-2.jar"]
    others = [f"{lib}/flink-table-runtime-9.jar", f"{lib}/../../evil-flink-dist.jar", "x/deps/opt/flink-dist-8.jar"]
    folder = tmp_path / "out"
    folder.mkdir()
    assert flink_install.unpack_jars(archive_of(tmp_path, wanted + others), folder) == [
        "flink-dist-9.jar",
        "log4j-core-2.jar",
    ]
    assert {path.name: path.read_text() for path in folder.iterdir()} == {Path(name).name: name for name in wanted}
    assert [path.name for path in tmp_path.rglob("*.jar") if path.parent != folder] == []


def test_an_archive_without_flink_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no deps/lib/flink-dist"):
        flink_install.unpack_jars(archive_of(tmp_path, ["a/deps/lib/log4j-core-2.jar"]), tmp_path)


def test_a_failing_command_is_shown_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"(?s)`sh -c.*ended with code 3.*no such package"):
        flink_install.run_logged(["sh", "-c", "echo no such package; exit 3"], tmp_path / "log")


def test_the_pom_builds_the_beam_runner_of_one_flink_line() -> None:
    pom = ET.fromstring(resource("job-server.pom.xml"))
    names = {"m": "http://maven.apache.org/POM/4.0.0"}
    artifacts = {element.text for element in pom.findall(".//m:dependency/m:artifactId", names)}
    assert "beam-runners-flink-${flink.line}" in artifacts
    assert pom.findtext(".//m:mainClass", namespaces=names) == "org.apache.beam.runners.flink.FlinkJobServerDriver"
