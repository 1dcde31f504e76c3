"""rlopt serve under 64 clients on loopback, beside the same model behind a plain FastAPI handler (needs a run)."""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rlopt.run import Run

CLIENTS = 64
POOL = 512  # different requests of each kind
HEAD = "service      kind        requests/s  titles/s   p50 ms   p99 ms   max ms  errors runs CPU ms  MiB before after"


def main() -> None:
    """Print a table: service, kind of request, requests and titles a second, latencies, errors, memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="a run with a policy")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--services", nargs="+", default=["serve", "plain", "plain-async"])
    parser.add_argument("--kinds", nargs="+", default=["score-1", "score-64", "generate-1"])
    parser.add_argument(
        "--reload", action="store_true", help="up to three newer runs meanwhile: the manifest's date changes"
    )
    parser.add_argument("--plain", help=argparse.SUPPRESS)  # this process is a plain handler, on this port
    options = parser.parse_args()
    if options.plain:
        serve_plainly(options.run, options.plain)
        return
    print(HEAD)
    for service in options.services:
        for kind in options.kinds:
            requests = bodies(options.run, kind)
            with started(service, options.run) as (port, process):
                asyncio.run(load(port, kind, requests, min(2.0, options.seconds)))  # warm
                before, spent = memory(process), cpu(process)
                found = asyncio.run(load(port, kind, requests, options.seconds, options.run, options.reload))
                after, spent = memory(process), cpu(process) - spent
            size = int(kind.split("-")[1])
            rate = len(found.times) / found.took
            p50, p99, most = np.percentile(found.times, [50, 99, 100]) * 1000
            print(
                f"{service:<12} {kind:<11} {rate:10.1f} {rate * size:9.0f} {p50:8.1f} {p99:8.1f} {most:8.1f} "
                f"{found.errors:7d} {len(found.versions):4d} {1000 * spent / len(found.times):6.2f} {before:11.0f} "
                f"{after:5.0f}",
                flush=True,
            )


@dataclass
class Found:
    """Seconds of each request and until the last answer, answers other than 200, versions of the run in them."""

    times: list[float] = field(default_factory=list)
    took: float = 0.0
    errors: int = 0
    versions: set[bytes] = field(default_factory=set)


def bodies(run: str, kind: str) -> list[bytes]:
    """Requests of a kind: titles of the logs with words exchanged, so that next to none is asked for twice."""
    arms = Run.open(run).arms()
    rng = random.Random(0)
    words = sorted({word for title in arms.title for word in str(title).split()})
    work, size = kind.split("-")
    out = []
    for _ in range(POOL):
        if work == "generate":
            items: list[dict[str, Any]] = [{"item_id": item.item_id} for item in rng.sample(arms.items, int(size))]
            out.append(json.dumps({"items": items, "seed": rng.randrange(1 << 30)}).encode())
            continue
        by_item: dict[str, list[str]] = {}
        for row in rng.sample(range(len(arms)), int(size)):
            title = str(arms.title[row]).split()
            title[rng.randrange(len(title))] = rng.choice(words)
            by_item.setdefault(arms.items[arms.item_index[row]].item_id, []).append(" ".join(title))
        out.append(json.dumps({"items": [{"item_id": i, "titles": t} for i, t in by_item.items()]}).encode())
    return out


async def load(
    port: int, kind: str, requests: Sequence[bytes], seconds: float, run: str = "", reload: bool = False
) -> Found:
    """What clients find who ask one request after the other for so long, and wait for the last one's answer."""
    path = f"/v1/{kind.split('-')[0]}"
    found = Found()
    start = time.monotonic()
    end = start + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        place = number * 7
        while time.monotonic() < end:
            body = requests[place % len(requests)]
            place += 1
            began = time.monotonic()
            writer.write(
                f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n\r\n".encode()
                + body
            )
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            answer = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            found.times.append(time.monotonic() - began)
            found.errors += not head.startswith(b"http/1.1 200")
            found.versions.update(re.findall(rb'^{"version": ?"(\w+)"', answer))
        writer.close()

    async def touch() -> None:
        manifest = Path(run) / "manifest.json"
        original = manifest.read_bytes()
        try:
            for number in range(3):
                await asyncio.sleep(seconds / 4)
                content = json.loads(original)
                content["stages"]["fit-reward"]["finished"] = f"2026-01-01T00:00:{number % 60:02d}+00:00"
                fresh = manifest.with_name("manifest.fresh")
                fresh.write_text(json.dumps(content), encoding="utf-8")
                fresh.replace(manifest)
                while len(found.versions) < number + 2 and time.monotonic() < end:
                    await asyncio.sleep(0.1)  # a run that changes faster than it loads is never taken over
        finally:
            manifest.write_bytes(original)

    work = [client(number) for number in range(CLIENTS)]
    await asyncio.gather(*work, *([touch()] if reload else []))
    found.took = time.monotonic() - start
    return found


@contextlib.contextmanager
def started(service: str, run: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Port and process of a service that answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ours = [sys.executable, "-m", "rlopt", "serve", "--run", run, "--port", str(port), "--reload-every", "1"]
    plain = [sys.executable, __file__, "--run", run, "--plain", f"{port} {service}"]
    process = subprocess.Popen(
        ours if service == "serve" else plain, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        while process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def serve_plainly(run: str, told: str) -> None:
    """The same models behind a handler as one writes it: ``def``, which has threads, or ``async def``."""
    import threading

    import uvicorn
    from fastapi import FastAPI

    from rlopt.config import GenerateConfig, load
    from rlopt.serving.answers import GenerateAnswer, ScoreAnswer
    from rlopt.serving.requests import GenerateRequest, ScoreRequest
    from rlopt.stages.serve.models import RunModels

    port, service = told.split()
    opened = Run.open(run)
    models = RunModels(opened, load(GenerateConfig, preset=opened.preset()))
    app, lock = FastAPI(), threading.Lock()

    def score(request: ScoreRequest) -> Any:
        with lock:  # the model remembers items, and is not to be called twice at once
            return _nulls(models.score([request])[0])

    def generate(request: GenerateRequest) -> Any:
        with lock:
            return models.generate(request)

    async def score_in_the_loop(request: ScoreRequest) -> Any:
        return _nulls(models.score([request])[0])

    async def generate_in_the_loop(request: GenerateRequest) -> Any:
        return models.generate(request)

    in_loop = service == "plain-async"
    app.post("/v1/score", response_model=ScoreAnswer)(score_in_the_loop if in_loop else score)
    app.post("/v1/generate", response_model=GenerateAnswer)(generate_in_the_loop if in_loop else generate)
    uvicorn.run(app, port=int(port), access_log=False, log_level="error")


def _nulls(answer: dict[str, Any]) -> dict[str, Any]:
    """NaN is no JSON."""
    for item in answer["items"]:
        for title in item["titles"]:
            for name, value in title.items():
                if value != value:
                    title[name] = None
    return answer


def cpu(process: "subprocess.Popen[bytes]") -> float:
    """Seconds of computing that a process has used: what other programs on the machine do does not change it."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: "subprocess.Popen[bytes]") -> float:
    """MiB that a process holds."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


if __name__ == "__main__":
    main()
