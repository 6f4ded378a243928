"""What every report page is made of: one HTML file that stands alone, nothing from a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from linewise_training.report.printable import printable

_NUMBER = ' class="n"'

STYLE = """
:root { color-scheme: light dark; --ground: #fcfcfb; --card: #ffffff; --ink: #1c1c1a; --soft: #5f5e59;
  --rule: #e3e2dd; --before: #a3a29b; --after: #2a78d6; --third: #b4690e; --fault: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #161615; --card: #1f1f1d; --ink: #f2f1ec;
  --soft: #b0afa8; --rule: #363531; --before: #8b8a83; --after: #5a9ff0; --third: #e0a458;
  --fault: #ff8a80; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 840px; margin: 0 auto; padding: 32px 20px 64px }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 0 0 4px }
p { margin: 4px 0 12px } .soft { color: var(--soft) } .fault { color: var(--fault); font-weight: 600 }
code, a { overflow-wrap: anywhere } a { color: var(--after) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 12px;
  margin: 20px 0 }
.tile, section { background: var(--card); border: 1px solid var(--rule); border-radius: 8px }
.tile { padding: 12px 14px } .tile b { display: block; font-size: 1.5rem; font-weight: 600; line-height: 1.2 }
section { padding: 18px 20px; margin: 16px 0 }
svg { display: block; width: 100%; height: auto }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums }
.grid { stroke: var(--rule) } .axis { stroke: var(--soft) }
.before { fill: var(--before); background: var(--before) }
.after { fill: var(--after); background: var(--after) }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin: 0 6px 0 0 }
.legend span.entry { margin-right: 20px; white-space: nowrap }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--rule);
  vertical-align: top }
pre { overflow-x: auto; padding: 10px 12px; border: 1px solid var(--rule); border-radius: 6px;
  font: 13px/1.45 ui-monospace, monospace }
.third { fill: var(--third); background: var(--third) }
.line.before { stroke: var(--before) } .line.after { stroke: var(--after) }
.line.third { stroke: var(--third) } polyline.line { fill: none; background: none; stroke-width: 2 }
.band { stroke: none; opacity: 0.15 }
th { font-weight: 600 } td.n, th.n { text-align: right; white-space: nowrap }
.wide { overflow-x: auto } .wide td:first-child { min-width: 8.5em }
td div, td:not(.n):not(:first-child) { overflow-wrap: anywhere }
"""


def document(heading: str, subject: str, body: str) -> str:
    """A whole page: `heading` says what kind of report it is, `subject` what it is of, `body` is HTML."""
    name = escape(printable(subject))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(heading)}: {name}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(heading)}</h1>
<p class="soft"><code>{name}</code></p>
{body}
</main>
</body>
</html>
"""


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """The page's main figures: each a value and what it is."""
    cells = "".join(
        f'<div class="tile"><b>{escape(value)}</b>{escape(label)}</div>\n' for value, label in figures
    )
    return f'<div class="tiles">\n{cells}</div>'


def section(title: str, body: str, text: str = "") -> str:
    """A card with a title, a sentence on what it shows, and `body`, which is HTML."""
    told = f'<p class="soft">{escape(text)}</p>\n' if text else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{told}{body}\n</section>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 1) -> str:
    """A table of text; the columns from `numbers` on hold numbers, which stand at the right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{_NUMBER if at >= numbers else ''}>{escape(printable(cell))}</{tag}>"
            for at, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    return f'<div class="wide"><table>\n<tr>{cells("th", head)}</tr>\n{body}</table></div>'
