"""What our command lines share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from partita_plugins.errors import PartitaError

Command = Callable[..., Any]


def option(*names: str, **more: Any) -> Callable[[Command], Command]:
    """An option that may also come from PARTITA_<NAME>, as its help says."""
    variable = "PARTITA_" + names[0].partition("/")[0].removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, show_envvar=True, **more)


class Plain(click.Group):
    """Errors as one line with the next action, not as a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PartitaError as error:
            raise click.ClickException(str(error)) from error
