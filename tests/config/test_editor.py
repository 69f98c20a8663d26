"""What VS Code's YAML extension shows in a checkout: its language server is asked over stdio.

To run it: npm install yaml-language-server, with node_modules/.bin on the PATH.
"""

import json
import shutil
import subprocess

import pytest

from sgan_lab.config.files import CONFIG_PATH
from tests.processes import ending

ROOT = CONFIG_PATH.parent
SERVER = shutil.which("yaml-language-server")
HEAD = "defaults:\n  - /shared/classifier@_here_\n  - _self_\n\n"
VAT = f"{HEAD}_target_: sgan_lab.algorithms.vat.VAT\nweight: 1.0\n"


class Client:
    """Speaks the Language Server Protocol with a process."""

    def __init__(self, process):
        self.process = process
        self.number = 0

    def send(self, **message):
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(content), content))
        self.process.stdin.flush()

    def receive(self, is_wanted):
        """The next message that is wanted; the server's questions for settings are answered."""
        while True:
            length = 0
            while line := self.process.stdout.readline().strip():
                length = int(line.split()[1]) if line.startswith(b"Content-Length") else length
            message = json.loads(self.process.stdout.read(length))
            if message.get("method") == "workspace/configuration":
                settings = json.loads((ROOT / ".vscode" / "settings.json").read_text())
                yaml = {key.removeprefix("yaml."): value for key, value in settings.items()}
                sections = [item["section"] for item in message["params"]["items"]]
                answers = [yaml if each == "yaml" else None for each in sections]
                self.send(id=message["id"], result=answers)
            elif "method" in message and "id" in message:
                self.send(id=message["id"], result=None)
            if is_wanted(message):
                return message

    def ask(self, method, **params):
        self.number += 1
        self.send(id=self.number, method=method, params=params)
        return self.receive(lambda m: m.get("id") == self.number and "method" not in m)["result"]

    def open(self, path, text):
        """Open a file with a text; returns the messages below its lines, by line number."""
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self.send(method="textDocument/didOpen", params={"textDocument": document})
        found = self.receive(
            lambda m: (
                m.get("method") == "textDocument/publishDiagnostics"
                and m["params"]["uri"] == path.as_uri()
            )
        )
        diagnostics = found["params"]["diagnostics"]
        return {each["range"]["start"]["line"]: each["message"] for each in diagnostics}

    def complete(self, path, line, column):
        position = {"line": line, "character": column}
        found = self.ask(
            "textDocument/completion", textDocument={"uri": path.as_uri()}, position=position
        )
        return {item["label"] for item in found["items"]}


@pytest.fixture
def client():
    process = subprocess.Popen([SERVER, "--stdio"], stdin=-1, stdout=-1, cwd=ROOT)
    with ending(process):
        client = Client(process)
        folder = {"uri": ROOT.as_uri(), "name": "sgan_lab"}
        can = {"workspace": {"configuration": True}, "textDocument": {"completion": {}}}
        client.ask(
            "initialize",
            processId=None,
            rootUri=ROOT.as_uri(),
            workspaceFolders=[folder],
            capabilities=can,
        )
        client.send(method="initialized", params={})
        client.send(method="workspace/didChangeConfiguration", params={"settings": None})
        yield client


@pytest.mark.slow
@pytest.mark.skipif(SERVER is None, reason="npm install yaml-language-server")
def test_an_editor_completes_and_checks_the_files_of_a_checkout(client):
    model, experiment = (ROOT / "conf" / name / "mine.yaml" for name in ("model", "experiment"))
    assert client.open(model, VAT) == {}
    bad = client.open(model.with_name("bad.yaml"), f"{VAT}epsilon: -1\nwieght: 3\n")
    assert list(bad) == [6, 7]
    assert "wieght" in bad[7]
    client.open(model.with_name("new.yaml"), f"{VAT}ep\n")
    labels = client.complete(model.with_name("new.yaml"), 6, 2)
    assert {"epsilon", "power_iterations"} <= labels
    assert "threshold" not in labels
    client.open(model.with_name("network.yaml"), f"{VAT}discriminator: \n")
    assert {"strided", "pooling", "mlp"} <= client.complete(model.with_name("network.yaml"), 6, 15)
    assert client.open(experiment, "seed: x\nmodel:\n  weight: 1.0\n  wieght: 1.0\n").keys() == {
        0,
        3,
    }
