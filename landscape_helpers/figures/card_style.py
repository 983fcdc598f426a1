"""The style of cards and of groups of them: colours as variables, light unless the page says that it is dark."""

def verdict_style(block: str) -> str:
    """The colours of a block (its class) as variables, light or dark as the page is, and the verdicts in them."""
    return f"""
.{block} {{
  --good: #00704f; --half: #8a5a00; --bad: #b3370a; --none: #5b626c; --rule: #d8dce1; --tint: #f6f7f9; }}
html[data-theme="dark"] .{block}, body[data-jp-theme-light="false"] .{block},
body[data-vscode-theme-kind*="dark"] .{block} {{
  --good: #4cc9a0; --half: #f0b84a; --bad: #ff9166; --none: #a5adb8; --rule: #3a414b; --tint: #1d232b; }}
.{block} .lh-badge {{ font-weight: 600; white-space: nowrap; }}
.{block} .lh-badge[data-verdict="reproduced"] {{ color: var(--good); }}
.{block} .lh-badge[data-verdict="partly"] {{ color: var(--half); }}
.{block} .lh-badge[data-verdict="not reproduced"] {{ color: var(--bad); }}
.{block} .lh-badge[data-verdict="not run"] {{ color: var(--none); }}
"""


STYLE = verdict_style("lh-card") + """
.lh-card { container-type: inline-size; margin: 1.5rem 0; padding: 0; text-align: left; line-height: 1.5; }
.lh-card .lh-picture { overflow-x: auto; }
.lh-card .lh-picture:focus-visible { outline: 2px solid var(--half); }
.lh-card img { display: block; width: 100%; min-width: 36rem; max-width: 60rem; height: auto; margin: 0;
  background: none; }
.lh-card img.lh-dark { display: none; }
html[data-theme="dark"] .lh-card img.lh-dark, body[data-jp-theme-light="false"] .lh-card img.lh-dark,
body[data-vscode-theme-kind*="dark"] .lh-card img.lh-dark { display: block; }
html[data-theme="dark"] .lh-card img.lh-light, body[data-jp-theme-light="false"] .lh-card img.lh-light,
body[data-vscode-theme-kind*="dark"] .lh-card img.lh-light { display: none; }
.lh-card figcaption { margin: 0.4rem 0 0.8rem; font-size: 0.95em; text-align: left; }
.lh-card p { margin: 0 0 0.5rem; }
.lh-card .lh-three { display: grid; gap: 0.6rem 1.8rem; padding: 0.8rem 1rem; background: var(--tint);
  border-radius: 6px; font-size: 0.92em; }
.lh-card .lh-head { font-weight: 650; margin: 0 0 0.2rem; }
.lh-card ul { list-style: none; margin: 0; padding: 0; }
.lh-card li { margin: 0 0 0.25rem; }
.lh-card .lh-id { white-space: nowrap; }
.lh-card table { width: 100%; border-collapse: collapse; margin: 0.6rem 0; font-size: 0.88em; table-layout: auto; }
.lh-card th, .lh-card td { text-align: left; vertical-align: top; padding: 0.4rem 0.6rem; white-space: normal;
  border: 0; border-bottom: 1px solid var(--rule); background: none; }
.lh-card tbody th { font-weight: 600; }
.lh-card caption { caption-side: top; text-align: left; font-size: 1em; padding: 0.3rem 0.6rem; color: inherit; }
.lh-card td code { overflow-wrap: break-word; white-space: normal; background: none; padding: 0; border: 0;
  color: inherit; }
.lh-card .lh-soft { color: var(--none); font-size: 0.92em; }
.lh-card .lh-number { font-variant-numeric: tabular-nums; }
.lh-card details { margin: 0.4rem 0; font-size: 0.9em; border: 0; }
.lh-card details table { font-size: 0.98em; }
.lh-card summary { cursor: pointer; padding: 0.15rem 0; }
.lh-card dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 1rem; margin: 0.3rem 0; }
.lh-card dt { color: var(--none); font-weight: 400; margin: 0; }
.lh-card dd { margin: 0; overflow-wrap: anywhere; }
.lh-card .lh-empty { padding: 2rem 1rem; border: 1px dashed var(--none); border-radius: 6px; text-align: center; }
@container (min-width: 42rem) {
  .lh-card .lh-three { grid-template-columns: minmax(0, 1fr) minmax(0, 1.5fr) max-content; }
  .lh-card .lh-wide { grid-column: 1 / -1; }
  .lh-card .lh-value { white-space: nowrap; }
}
@container (max-width: 36rem) {
  .lh-card thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .lh-card table, .lh-card tbody, .lh-card tr, .lh-card td, .lh-card tbody th, .lh-card caption { display: block; }
  .lh-card tr { border-bottom: 1px solid var(--rule); padding: 0.3rem 0; }
  .lh-card td { border: 0; padding: 0.1rem 0; }
  .lh-card td[data-column]::before { content: attr(data-column) ": "; color: var(--none); }
  .lh-card dl { grid-template-columns: 1fr; }
}
"""

# A fold is a line that can be found, ruled off from its neighbours; on paper it is unfolded.
GROUP_STYLE = verdict_style("lh-group") + """
.lh-group { margin: 1.5rem 0; text-align: left; line-height: 1.5; }
.lh-group > p { margin: 0 0 0.5rem; }
.lh-group > details { border-top: 1px solid var(--rule); }
.lh-group > details:last-child { border-bottom: 1px solid var(--rule); }
.lh-group > details > summary { cursor: pointer; padding: 0.4rem 0; }
.lh-group > details[open] > summary { border-bottom: 1px solid var(--rule); }
.lh-group .lh-given { margin-left: 0.8rem; font-size: 0.92em; }
.lh-group .lh-soft { color: var(--none); font-size: 0.92em; }
@media print {
  .lh-group > details::details-content { content-visibility: visible; block-size: auto; }
}
"""
