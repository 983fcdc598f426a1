"""An explorer as a piece of HTML that needs no kernel, no network and no other file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCRIPT = HERE / "frames.js"
STYLE = HERE / "frames.css"

# What the module asks of an anywidget model, answered from stored state. Bytes arrive as a DataView, as
# anywidget delivers them. The script mounts every explorer with its state's digest, so one that stands
# twice on a page works twice.
SHIM = """
for (const home of document.querySelectorAll('[data-explorer="%(digest)s"]:not([data-mounted])')) {
  home.dataset.mounted = "";
  const state = JSON.parse(home.querySelector("script").textContent);
  state.frames = new DataView(Uint8Array.from(atob(state.frames), (c) => c.charCodeAt(0)).buffer);
  const listeners = {};
  const model = {
    get: (name) => state[name],
    set(name, value) { state[name] = value; for (const tell of listeners["change:" + name] ?? []) tell(); },
    on(event, tell) { (listeners[event] ??= []).push(tell); },
    off(event, tell) { listeners[event] = (listeners[event] ?? []).filter((other) => other !== tell); },
    save_changes() {},
    send() {},
  };
  const picture = home.querySelector("img");
  const el = document.createElement("div");
  home.append(el);
  widget.render({ model, el });
  picture.remove();
}
"""


def static_html(state: Mapping[str, Any], frames: bytes, png: bytes, alt: str) -> str:
    """The explorer with its stored frames.

    With JavaScript off, the picture stays; with it, the module takes its place. Everything is inline:
    browsers refuse module files on ``file://``, and a page that holds all it needs can be mailed.
    """
    stored = json.dumps({**state, "live": False, "frames": base64.b64encode(frames).decode()}, allow_nan=False)
    digest = hashlib.sha256(stored.encode()).hexdigest()[:12]
    module = SCRIPT.read_text(encoding="utf-8").replace("export default", "const widget =")
    image = base64.b64encode(png).decode()
    return (
        f'<div data-explorer="{digest}">\n'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style>\n"
        f'<img class="lx-fallback" alt="{html.escape(alt)}" src="data:image/png;base64,{image}">\n'
        f'<script type="application/json">{_inert(stored)}</script>\n'
        f'<script type="module">\n{module}{SHIM % {"digest": digest}}</script>\n'
        "</div>"
    )


def _inert(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return text.replace("<", "\\u003c")
