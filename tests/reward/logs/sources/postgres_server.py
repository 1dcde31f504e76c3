"""A PostgreSQL server of the tests' own, on a socket in a temporary folder and a free port, where the binaries are."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PASSWORD = "s3cr3t/wor:d@"  # has to be spelt for URLs


def binaries() -> Path | None:
    """Folder with initdb and pg_ctl, None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """URL of an empty database without its password, which is `PASSWORD`, in the variable SHOP_PASSWORD meanwhile.

    PostgreSQL does not run as root: then it is the user ``postgres`` or ``nobody``.
    """
    folder = binaries()
    assert folder is not None
    with tempfile.TemporaryDirectory(prefix="rlopt-pg-") as name:
        place = Path(name)
        user = None
        if os.getuid() == 0:
            users = {entry.pw_name for entry in pwd.getpwall()}
            user = next(one for one in ("postgres", "nobody") if one in users)
            shutil.chown(place, user)
        (place / "password").write_text(PASSWORD, encoding="utf-8")
        (place / "password").chmod(0o644)
        port = _free_port()

        def call(*arguments: str) -> None:
            subprocess.run(arguments, check=True, user=user, cwd=place, stdout=subprocess.DEVNULL, timeout=60)

        data = str(place / "data")
        call(
            str(folder / "initdb"), "-D", data, "-U", "reader", "--auth=scram-sha-256", "--encoding=UTF8",
            "--no-locale", f"--pwfile={place / 'password'}", "--no-sync",
        )  # fmt: skip
        options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -c fsync=off"
        control = str(folder / "pg_ctl")
        call(control, "-D", data, "-w", "-l", str(place / "log"), "-o", options, "start")
        try:
            with pytest.MonkeyPatch.context() as patched:
                patched.setenv("SHOP_PASSWORD", PASSWORD)
                yield f"postgresql://reader:$SHOP_PASSWORD@127.0.0.1:{port}/postgres"
        finally:
            call(control, "-D", data, "-w", "-m", "immediate", "stop")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
