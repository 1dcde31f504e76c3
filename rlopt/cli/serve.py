"""``rlopt serve``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show


@click.command("serve", cls=Configured)
@from_config(
    "ServeConfig", "host", "port", "workers", "policy", "titles", "plan", "assignment_log", "rotate_mib", "timeout",
    "max_body_kib", "max_titles", "max_items", "max_batch", "max_wait_ms", "reload_every",
)  # fmt: skip
@preset("constraints", "generate")
@options.in_run
@options.common
def command(config: Path | None, run_path: str, **flags: Any) -> None:
    """Serve a run over HTTP: scores, new titles, and the title that each visitor sees.

    POST /v1/score and /v1/generate give what rlopt score and rlopt generate give for the same items; GET
    /v1/titles/ITEM?unit=VISITOR the approved title of --titles, or the visitor's draw, the same one each time.
    /openapi.json describes the API; /healthz, /readyz and /metrics are for monitoring. The service loads a newer run or
    table without losing a request. Only this machine has access, unless you set RLOPT_SERVE_TOKEN and --host.
    Needs the extra: pip install 'rlopt[serve]'.

    \b
    Example:
      rlopt serve --titles approved.parquet
      curl localhost:8000/v1/score -H 'content-type: application/json' \\
        -d '{"items": [{"item_id": "sku-1", "titles": ["Red shoe", "Acme shoe"]}]}'
      RLOPT_SERVE_TOKEN=$(openssl rand -hex 32) rlopt serve --host 0.0.0.0 --workers 4
      rlopt serve --titles approved.csv --plan plan.csv --assignment-log seen.jsonl
    """
    from rlopt.config import GenerateConfig, ServeConfig

    run = options.fitted_run(run_path)
    settings = options.settings(ServeConfig, config, flags, run)
    writing = options.settings(GenerateConfig, config, {"policy": settings.policy}, run)
    for table in (settings.titles, settings.plan):
        if table is not None:
            options.there(table)

    from rlopt.stages.serve.stage import serve

    show(serve(run, settings, writing))
