"""Cloudflare Workers: each script in a workerd process of its own, behind a listening socket that stays open.

Bindings: plain_text and json go into the configuration file, secret_text goes through the environment, so that no file
holds a secret. Outgoing requests may reach this machine. As at Cloudflare, CF-Connecting-IP is the platform's to set,
whatever a client sends.

Left out: the hostname itself (there is no DNS and no TLS here: the address is 127.0.0.1 and a port), the cache,
limits on CPU time and subrequests, every other kind of binding.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass

from infra.local.cloud import probes
from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import CloudError, disk_sentence
from infra.local.cloud.ports import HOST
from infra.local.cloud.processes import Launch
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import write_whole
from infra.local.cloud.supervisor import Plan

SCRIPT = "cloudflare:index/workersScript:WorkersScript"
CUSTOM_DOMAIN = "cloudflare:index/workersCustomDomain:WorkersCustomDomain"
CLIENT = "127.0.0.1"

CONFIG = """using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "script", worker = .script),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(
    name = "http",
    address = "{address}",
    http = (injectRequestHeaders = [(name = "CF-Connecting-IP", value = "{client}")]),
    service = "script",
  )],
);

const script :Workerd.Worker = (
  modules = [(name = {module}, esModule = embed "module.js")],
  compatibilityDate = {date},
  compatibilityFlags = [{flags}],
  bindings = [{bindings}],
);
"""


@dataclass(frozen=True, kw_only=True)
class Code:
    """One version of a script. `bindings` are Cloudflare's: `{type, name, text | json}`."""

    name: str
    module: str
    content: str
    compatibility_date: str
    compatibility_flags: tuple[str, ...]
    bindings: tuple[Json, ...]


class Workers:
    """The scripts of the local cloud; holds no state of its own."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def deploy(self, code: Code) -> None:
        """Start a version and let it take over.

        Raises:
            CloudError: workerd refused it, with its words; the version before goes on.
        """
        before = self._cloud.ports.of(_part(code.name))
        try:
            self._cloud.wait(self._cloud.supervisor.swap(self._plan(code)))
        except CloudError as error:
            if before is None:
                self._forget(code.name)
            raise CloudError(f"Error 400: the script {code.name} was refused by the Workers runtime. {error}") from None

    def bring_back(self, code: Code) -> None:
        self._cloud.supervisor.bring_back(self._plan(code))

    def delete(self, name: str) -> None:
        self._cloud.wait(self._cloud.supervisor.remove(_part(name)))
        self._forget(name)

    def _forget(self, name: str) -> None:
        self._cloud.listeners.close(_part(name))
        shutil.rmtree(self._cloud.paths.workers / name, ignore_errors=True)

    def _plan(self, code: Code) -> Plan:
        part = _part(code.name)

        async def prepare(ready: int) -> Launch:
            return await asyncio.to_thread(self._launch, code, ready)

        return Plan(
            name=part,
            kind="worker",
            prepare=prepare,
            probe=lambda: probes.tcp(self._cloud.listeners.port(part)),
            port=lambda: self._cloud.ports.of(part),
            signals_ready=True,
            stand_in=lambda: self._cloud.listeners.answer_unavailable(part),
        )

    def _launch(self, code: Code, ready: int) -> Launch:
        sock = self._cloud.listeners.open(_part(code.name), moves=True)
        folder = self._cloud.paths.workers / code.name
        config, secrets = rendered(code, f"{HOST}:{sock.getsockname()[1]}")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CloudError(disk_sentence(error, f"deploying the script {code.name}")) from None
        write_whole(folder / "module.js", code.content, f"deploying the script {code.name}")
        write_whole(folder / "config.capnp", config, f"deploying the script {code.name}")
        return Launch(
            argv=(
                str(self._cloud.binaries.workerd()),
                *("serve", "--socket-fd", f"http={sock.fileno()}", "--control-fd", str(ready)),
                str(folder / "config.capnp"),
            ),
            env=secrets,
            cwd=folder,
            fds=(sock.fileno(),),
        )


def edge_url(cloud: Cloud) -> str | None:
    """The address of the first script that has a custom domain; None before there is one."""
    for domain in cloud.store.of(CUSTOM_DOMAIN):
        script = str(domain.args["service"])
        port = cloud.ports.of(_part(script))
        if port is not None and cloud.store.get(SCRIPT, script) is not None:
            return f"http://{HOST}:{port}"
    return None


def rendered(code: Code, address: str) -> tuple[str, dict[str, str]]:
    """The configuration file, and the environment that holds the secrets."""
    lines, secrets = [], {}
    for number, binding in enumerate(code.bindings):
        name = quoted(str(binding["name"]))
        if binding["type"] == "secret_text":
            variable = f"SECRET_{number}"
            secrets[variable] = str(binding["text"])
            lines.append(f'(name = {name}, fromEnvironment = "{variable}")')
        elif binding["type"] == "json":
            given = binding["json"]
            text = given if isinstance(given, str) else json.dumps(given)
            lines.append(f"(name = {name}, json = {quoted(text)})")
        else:
            lines.append(f"(name = {name}, text = {quoted(str(binding['text']))})")
    config = CONFIG.format(
        address=address,
        client=CLIENT,
        module=quoted(code.module),
        date=quoted(code.compatibility_date),
        flags=", ".join(quoted(flag) for flag in code.compatibility_flags),
        bindings=", ".join(lines),
    )
    return config, secrets


def quoted(text: str) -> str:
    """A Cap'n Proto string: everything but plain ASCII is written as bytes in hex."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in text.encode()) + '"'


def _part(name: str) -> str:
    return f"worker-{name}"
