"""The layer contract, and the shape of the tree."""

import subprocess
import sys
from pathlib import Path

ROOMS = ("rlopt", "reward", "envs")


def test_the_layer_contract_holds(root: Path) -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_has_more_than_400_lines(root: Path) -> None:
    files = [p for room in (*ROOMS, "tests") for p in (root / room).rglob("*.py")]
    long = {str(p.relative_to(root)): n for p in files if (n := len(p.read_bytes().splitlines())) > 400}
    assert not long


def test_models_are_never_pickled(root: Path) -> None:
    """Pickles run code when they are loaded: a model from somebody else must be safe to open."""
    forbidden = ("import pickle", "import joblib", "from joblib", "import dill", "cloudpickle", "allow_pickle=True")
    found = [
        f"{path.relative_to(root)}: {word}"
        for room in ROOMS
        for path in (root / room).rglob("*.py")
        for word in forbidden
        if word in path.read_text(encoding="utf-8").replace("from joblib import cpu_count\n", "")
    ]
    assert not found


def test_types_are_shipped(root: Path) -> None:
    for room in ROOMS:
        assert (root / room / "py.typed").exists()
