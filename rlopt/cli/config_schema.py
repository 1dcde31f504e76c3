"""``rlopt config-schema``."""

import click

from rlopt.cli import options


@click.command("config-schema")
@options.common
def command() -> None:
    """Print the JSON Schema of presets, with which an editor completes, explains and checks settings.

    In VS Code (YAML extension) the first line of a preset names it: # yaml-language-server: $schema=rlopt.schema.json

    \b
    Example:
      rlopt config-schema > rlopt.schema.json
    """
    from reward.plain import to_json
    from rlopt.config.schema import preset_schema

    session = click.get_current_context().ensure_object(options.Session)
    click.echo(to_json(preset_schema(), indent=2), file=session.stdout)
