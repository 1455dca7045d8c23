"""Both event loops, warnings as errors, a clean environment, loopback only."""

from __future__ import annotations

import asyncio.constants
import os
import traceback
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# How fast examples are made and run depends on who else uses the machine, and says nothing
# about us.
settings.register_profile("asyncdicom", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("asyncdicom")


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"debug": True}), id="asyncio"),
        pytest.param(("asyncio", {"debug": True, "use_uvloop": True}), id="uvloop"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Run each async test on both loops the product runs on."""
    return request.param


INNERMOST_FRAMES = 8


@pytest.fixture(scope="session", autouse=True)
def short_stacks() -> Iterator[None]:
    """Keep the innermost frames of where a future, a task or a handle was made.

    A loop in debug mode keeps all of them, and below a test lie fifty of pytest: reading those
    took a sixth of the time of asynchronous tests.
    """
    whole = traceback.walk_stack

    def innermost(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
        return islice(whole(frame), INNERMOST_FRAMES)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traceback, "walk_stack", innermost)
        patch.setattr(asyncio.constants, "DEBUG_STACK_DEPTH", 3)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_public_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust an authority of nobody instead of the 140 of the machine.

    No test needs those, and reading them takes 20 ms for each client that may speak TLS.
    """
    folder = tmp_path_factory.mktemp("authorities")
    trustme.CA(organization_name="Nobody").cert_pem.write_to_path(str(folder / "ca.pem"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        patch.setenv("SSL_CERT_DIR", str(folder))
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take proxies and our own settings out of the environment."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("NETRC", "ASYNCDICOM_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith(("AWS_", "S3_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
