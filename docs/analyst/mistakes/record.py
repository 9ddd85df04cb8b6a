"""Runs each pipeline of this folder with Beam YAML and writes down what it printed.

    uv venv /tmp/beam && uv pip install --python /tmp/beam/bin/python 'apache-beam[yaml]==2.77.0'
    /tmp/beam/bin/python docs/analyst/mistakes/record.py

Beam's `yaml` extra is no dependency of pipelinekit, so this has an environment of its own. Left out
are warnings about optional packages that aren't installed there; paths are cut to what is below the
packages' folder. The last line is the exit code.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = Path(sysconfig.get_path("purelib"))
# Validation of the transforms' own keys needs a file that Beam's wheel doesn't hold.
SCHEMA = PACKAGES / "apache_beam" / "yaml" / "transforms.schema.yaml"
PER_TRANSFORM = "--json_schema_validation=per_transform"
ENVIRONMENT = re.compile(r"^WARNING:root:(apitools not found|Could not load ML transform module)")
FOLDER = re.compile(r'"/[^"]*/python3\.\d+/(site-packages/)?')
CHANGING = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def main() -> None:
    if not SCHEMA.exists():
        subprocess.run(
            [
                sys.executable,
                "-m",
                "apache_beam.yaml.generate_yaml_docs",
                f"--schema_file={SCHEMA}",
            ],
            check=True,
        )
    for pipeline in sorted(HERE.glob("*.yaml")):
        record(pipeline, pipeline.with_suffix(".txt"))
    record(HERE / "misspelt-key.yaml", HERE / "misspelt-key.per_transform.txt", PER_TRANSFORM)


def record(pipeline: Path, file: Path, *options: str) -> None:
    words = ["-m", "apache_beam.yaml.main", f"--yaml_pipeline_file={pipeline.name}", *options]
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, *words],
        cwd=HERE,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    seconds = time.monotonic() - start
    lines = [short(line) for line in done.stdout.splitlines() if not ENVIRONMENT.match(line)]
    text = [f"$ python {' '.join(words)}", *lines, f"exit {done.returncode}"]
    file.write_text("\n".join(text) + "\n", encoding="utf-8")
    print(f"{file.name}: exit {done.returncode}, {len(lines)} lines, {seconds:.1f} s")


def short(line: str) -> str:
    return CHANGING.sub("…", FOLDER.sub('"', line)).rstrip()


if __name__ == "__main__":
    main()
