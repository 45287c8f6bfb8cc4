"""The wheel: in a fresh venv, run from another folder, with no checkout in sight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not in a checkout")
def test_the_wheel_works_from_any_folder(tmp_path):
    """Its dependencies are those of this environment, so that nothing is fetched."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    fresh = tmp_path / "venv"
    venv.EnvBuilder(with_pip=False).create(fresh)
    python = fresh / ("Scripts" if os.name == "nt" else "bin") / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = fresh / "lib" / version / "site-packages"
    here = [path for path in sys.path if path.endswith("site-packages")]
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "-q", wheel]
    subprocess.run(install, check=True, capture_output=True, timeout=100)
    (site / "dependencies.pth").write_text("\n".join(here))  # plain paths: no editable hooks among them
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    where = [python, "-c", "import actbench; print(actbench.__file__)"]
    found = subprocess.run(
        where, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert str(fresh) in found.stdout  # not the checkout's
    command = [fresh / "bin" / "actbench", "dataset=digits", "activation=leaky_relu", "train.epochs=1", "num_seeds=2",
               "model.width=8", "train.threads=1"]  # fmt: skip
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    (summary,) = elsewhere.glob("outputs/*/*/summary.json")
    assert json.loads(summary.read_text())["activation"] == "leaky_relu"
    listed = subprocess.run(
        [fresh / "bin" / "actbench", "list"], cwd=elsewhere, capture_output=True, text=True, timeout=60
    )
    assert "leaky_relu" in listed.stdout
