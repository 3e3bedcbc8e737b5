"""What the options of all commands have in common."""

from typing import Any

import click


def _once(ctx: click.Context, param: click.Parameter, values: tuple[Any, ...]) -> Any:
    """The value of an option that may be given once; None if it is not."""
    if len(values) > 1:
        text = f"{param.opts[0]} is given {len(values)} times; leave one"
        raise click.UsageError(text, ctx)
    return values[0] if values else None


single: dict[str, Any] = {"multiple": True, "callback": _once}
"""Makes an option one that may be given once."""
