# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/modules.md, the reference of modules and plugins, or check it (--check).

It is what `ansible-doc` knows of them, so a page and a plugin never differ.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cloudspill.gcp.plugins.doc_fragments.gcp import ModuleDocFragment

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "modules.md"
COLLECTION = "cloudspill.gcp"
KINDS = {"module": "Modules", "inventory": "Inventory", "lookup": "Lookups", "filter": "Filters"}
SHARED: dict[str, Any] = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
HEAD = f"""\
# Modules and plugins

<!-- Written by scripts/modules.py of the plugins' own documentation: change that, then run it. -->

What google.cloud does well is left to it; each of these is here because google.cloud cannot do it.
Examples and return values: `ansible-doc {COLLECTION}.NAME`, for a plugin with `-t inventory`,
`-t lookup` or `-t filter`. Modules that ask Google are in the action group `{COLLECTION}.gcp`, so
that `module_defaults` sets what they share:

```yaml
module_defaults:
  group/{COLLECTION}.gcp:
    project: my-project
    auth_kind: serviceaccount
    service_account_file: ~/.config/cloudspill/key.json
```

An option in bold must be given. In check mode each module says what it would change, and changes
nothing, unless it says otherwise here.
"""
MARKUP = {
    r"\b[OV]\(([^)]*)\)": r"`\1`",
    r"\bRV\(([^)]*)\)": r"`\1`",
    r"\b[CE]\(([^)]*)\)": r"`\1`",
    r"\bM\(([^)]*)\)": r"`\1`",
    r"\bP\(([^)#]*)#?[^)]*\)": r"`\1`",
    r"\bI\(([^)]*)\)": r"*\1*",
    r"\bB\(([^)]*)\)": r"**\1**",
    r"\bL\(([^,)]*), *([^)]*)\)": r"[\1](\2)",
    r"\bU\(([^)]*)\)": r"<\1>",
}
Document = dict[str, Any]


def ansible_doc(*arguments: str) -> Any:
    """What ansible-doc says as JSON."""
    program = Path(sys.executable).with_name("ansible-doc")
    done = subprocess.run(
        [program, "--json", *arguments],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def documents(kind: str) -> dict[str, Document]:
    """The documentation of each plugin of a kind, by its name."""
    names = sorted(ansible_doc("-t", kind, "-l", COLLECTION))
    found = ansible_doc("-t", kind, *names) if names else {}
    return {name.rsplit(".", 1)[-1]: found[name]["doc"] for name in names}


def text(words: str | list[str]) -> str:
    """Ansible's markup as Markdown, on one line."""
    joined = " ".join([words] if isinstance(words, str) else words)
    for pattern, replacement in MARKUP.items():
        joined = re.sub(pattern, replacement, joined)
    return " ".join(joined.split()).replace("|", "\\|")


def default(option: Document) -> str:
    """What an option is when it is not given."""
    value = option.get("default")
    if value in (None, "", [], {}):
        return ""
    plain = value if isinstance(value, str) else json.dumps(value)
    return f"`{plain}`"


def row(name: str, option: Document) -> str:
    """One option as a row of a table."""
    kind = option.get("type", "str")
    if kind == "list":
        kind = f"list of {option.get('elements', 'str')}"
    shown = f"**`{name}`**" if option.get("required") else f"`{name}`"
    said = text(option.get("description", ""))
    if option.get("choices"):
        said += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
    return f"| {shown} | {kind} | {default(option)} | {said} |"


def table(options: Document) -> list[str]:
    """Options as a table; none where there are none."""
    if not options:
        return []
    rows = [row(name, option) for name, option in options.items()]
    return ["", "| Option | Type | Default | |", "|---|---|---|---|", *rows]


def section(name: str, document: Document) -> list[str]:
    """What one plugin is, and its options."""
    options = {n: o for n, o in (document.get("options") or {}).items() if n not in SHARED}
    check = (document.get("attributes") or {}).get("check_mode", {})
    said = f"{text(document['short_description'])}. {text(document.get('description', ''))}"
    if check and check.get("support") != "full":
        said += f" Check mode: {text(check.get('description', check['support']))}"
    return ["", f"### {name}", "", said, *table(options)]


def page() -> str:
    """The whole page."""
    known = {kind: documents(kind) for kind in KINDS}
    lines = [HEAD.rstrip(), *table(SHARED)]
    for kind, heading in KINDS.items():
        lines += ["", f"## {heading}"]
        for name, document in known[kind].items():
            lines += section(name, document)
    return "\n".join(lines) + "\n"


def main() -> int:
    wanted = page()
    if "--check" in sys.argv[1:]:
        same = PAGE.exists() and PAGE.read_text() == wanted
        if not same:
            print("docs/modules.md is out of date: run .venv/bin/python scripts/modules.py")
        return int(not same)
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
