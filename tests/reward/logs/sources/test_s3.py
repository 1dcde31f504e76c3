"""Logs on s3:// give the arms of the same rows in a local file: a real client (s3fs) against a local S3 server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reward.errors import LogError
from reward.logs.read import read_logs

from ...log_fixtures import assert_same_arms, impressions_log, written

moto_server = pytest.importorskip("moto.server")
s3fs = pytest.importorskip("s3fs")
LOG = impressions_log(6, n=2_000)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket of a server on this machine; only the environment says where it is, and with which keys.

    Its name is its own: moto keeps buckets as long as the process lives.
    """
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "reader")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        system = s3fs.S3FileSystem()
        system.mkdir("market")
        folder = tmp_path_factory.mktemp("local")
        half = len(LOG) // 2
        for name, part in (("day=1/a.parquet", LOG[:half]), ("day=2/b.parquet", LOG[half:])):
            system.put(str(written(part, folder / name.replace("/", "-"))), f"market/logs/{name}")
        system.put(str(written(LOG, folder / "all.csv")), "market/all.csv")
        system.pipe("market/logs/_SUCCESS", b"")
        yield "s3://market"
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.parametrize("place", ["logs", "logs/*/*.parquet", "all.csv"])
def test_a_folder_a_pattern_and_a_file(bucket: str, tmp_path: Path, place: str) -> None:
    local = tmp_path / ("log.csv" if place.endswith(".csv") else "log.parquet")
    wanted = read_logs(written(LOG, local), threads=1).arms
    found = read_logs(f"{bucket}/{place}", threads=1)
    assert_same_arms(found.arms, wanted)
    assert found.source == f"{bucket}/{place}"


def test_what_is_not_there_is_one_line_without_secrets(bucket: str) -> None:
    for place in ("logs/day=3/c.parquet", "nothing/*.csv"):
        with pytest.raises(LogError, match=rf"^Cannot read {bucket}/") as caught:
            read_logs(f"{bucket}/{place}")
        assert "\n" not in str(caught.value)
        assert "a-secret" not in str(caught.value)
    with pytest.raises(LogError, match=r"^Cannot read s3://another-shop/log\.parquet: ") as caught:
        read_logs("s3://another-shop/log.parquet")
    assert "a-secret" not in str(caught.value)
