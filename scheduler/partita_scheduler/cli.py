"""What our command lines share."""

from __future__ import annotations

import click

from partita_plugins.errors import PartitaError


class Plain(click.Group):
    """Errors as one line with the next action, not as a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PartitaError as error:
            raise click.ClickException(str(error)) from error
