"""What the options before the command's name chose, and what every command makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentgraph.errors import ConfigurationError

if TYPE_CHECKING:
    from agentgraph.settings import Settings

__all__ = ["Invocation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """The options that stand before the command.

    Attributes:
        env_file: A file of `NAME=value` lines; `None` for `.env` in the working directory, if there is one.
    """

    env_file: Path | None = None

    def settings(self, **options: object) -> Settings:
        """Read the settings: `options` that are not `None`, then the environment, then the `.env` file.

        Raises:
            ConfigurationError: A setting is wrong, or the file that was named does not exist.
        """
        from agentgraph.settings import Settings

        if self.env_file is not None and not self.env_file.is_file():
            raise ConfigurationError(f"--env-file {str(self.env_file)!r} is no file", code="no_env_file")
        chosen = {name: value for name, value in options.items() if value is not None}
        return Settings.load(env_file=self.env_file or Path(".env"), **chosen)
