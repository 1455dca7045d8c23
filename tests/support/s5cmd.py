"""s5cmd, the client that object stores are fetched with where nothing is proven.

done = s5cmd(server.url, "cp", "s3://bucket/uuid/*", f"{folder}/")
assert done.returncode == 0
"""

from __future__ import annotations

import os
import subprocess

from tests.support.peers import peer_program

__all__ = ["s5cmd", "s5cmd_command", "s5cmd_environ"]


def s5cmd_command(endpoint_url: str, *words: str, workers: int | None = None) -> list[str]:
    """Return a command that asks an endpoint without credentials.

    Args:
        endpoint_url: Of the server.
        words: Operation and its arguments.
        workers: `--numworkers`, or None for its own default (256).

    """
    chosen = [] if workers is None else ["--numworkers", str(workers)]
    return [
        peer_program("s5cmd"),
        "--no-sign-request",
        "--endpoint-url",
        endpoint_url,
        *chosen,
        *words,
    ]


def s5cmd_environ() -> dict[str, str]:
    """Return the environment without what it would read; the region saves it a question."""
    prefixes = ("AWS_", "S3_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return {**kept, "AWS_REGION": "us-east-1"}


def s5cmd(
    endpoint_url: str, *words: str, workers: int | None = None, deadline_s: float = 30.0
) -> subprocess.CompletedProcess[str]:
    """Run it to its end.

    Raises:
        subprocess.TimeoutExpired: If it has not ended after `deadline_s` seconds.

    """
    return subprocess.run(
        s5cmd_command(endpoint_url, *words, workers=workers),
        capture_output=True,
        text=True,
        timeout=deadline_s,
        check=False,
        env=s5cmd_environ(),
    )
