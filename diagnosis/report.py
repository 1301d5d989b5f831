"""The diagnosis as one page: findings, and the curves marked where they lie. Needs nothing from elsewhere."""

from __future__ import annotations

from html import escape

import numpy as np

from agent_gym.diagnosis.case import Case, Curve
from agent_gym.diagnosis.diagnose import HEALTHY
from agent_gym.diagnosis.finding import Finding

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 170, 56, 24, 12
POINTS = 300  # of a curve that are drawn
STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5c6775; --line: #d8dde4; --page: #f6f7f9; --card: #fff;
  --curve: #2563a8; --fault: #b42318; --note: #9a6700; --good: #1a7f37; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa5b4; --line: #38414d; --page: #14181d;
  --card: #1c2228; --curve: #6cb0f5; --fault: #ff8a80; --note: #e3b341; --good: #56d364; } }
* { box-sizing: border-box } body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif } main { max-width: 960px; margin: 0 auto; padding: 24px 16px 64px }
h1 { font-size: 22px; margin: 0 } h2 { font-size: 17px; margin: 32px 0 8px } .soft { color: var(--soft) }
.card { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--fault);
  border-radius: 6px; padding: 12px 16px; margin: 12px 0 } .note { border-left-color: var(--note) }
.good { border-left-color: var(--good) } .card h3 { margin: 0 0 4px; font-size: 16px }
ul { margin: 6px 0; padding-left: 20px; overflow-wrap: anywhere } code { font: 13px ui-monospace, monospace;
  background: var(--page); border: 1px solid var(--line); border-radius: 4px; padding: 1px 5px;
  overflow-wrap: anywhere }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 12px }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 8px }
figcaption { font-size: 13px } svg { width: 100%; height: auto; display: block } text { font: 11px system-ui;
  fill: var(--soft) } .marked { border-color: var(--fault) }
"""


def page(title: str, case: Case, findings: list[Finding], missing: list[str]) -> str:
    """The page as HTML."""
    marks: dict[str, list[Finding]] = {}
    for finding in findings:
        for tag in finding.tags:
            marks.setdefault(tag, []).append(finding)
    faults = [f for f in findings if not f.hint]
    tags = sorted(case.curves, key=lambda tag: (tag not in marks, not tag.startswith(("rollout", "eval", "val")), tag))
    curves = [figure(tag, case.curves[tag], marks.get(tag, [])) for tag in tags if len(case.curves[tag].values) > 1]
    cards = [card(finding) for finding in findings]
    if not faults:
        cards.insert(0, f'<div class="card good">{escape(HEALTHY)}</div>')
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(summary(case))}</p>',
        *cards,
        *(f'<p class="soft">{escape(line)}</p>' for line in missing),
        f'<h2>Curves</h2><div class="grid">{"".join(curves)}</div>' if curves else "",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    head += f"<style>{STYLE}</style>"
    body = f"<main>{''.join(parts)}</main>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def summary(case: Case) -> str:
    """What was run, in a line."""
    on = case.config.get("env") or case.config.get("data") or ""
    scored = f", score {case.score:.4g}" if case.kind == "agent" and case.score is not None else ""
    return f"{case.name}{' on ' + str(on) if on else ''}, {case.step:,} steps, seed {case.config.get('seed')}{scored}"


def card(finding: Finding) -> str:
    """A finding."""
    typed = f"<p>Type: <code>{escape(finding.flags())}</code></p>" if finding.remedy else ""
    advice = f"<p>Do: {escape(finding.advice)}</p>" if finding.advice else ""
    evidence = "".join(f"<li>{escape(line)}</li>" for line in finding.evidence)
    return (
        f'<div class="card{" note" if finding.hint else ""}"><h3>{escape(finding.title)} '
        f'<span class="soft">{escape(finding.cause)}</span></h3><ul>{evidence}</ul><p>{escape(finding.why)}.</p>'
        f'{typed}{advice}<p class="soft">{escape(finding.source)}</p></div>'
    )


def figure(tag: str, curve: Curve, findings: list[Finding]) -> str:
    """A curve as SVG, with a line at each finding's step."""
    good = np.isfinite(curve.values)
    steps, values = curve.steps[good].astype(float), curve.values[good]
    if not len(values):
        return ""
    keep = np.unique(np.linspace(0, len(values) - 1, min(len(values), POINTS)).astype(int))
    steps, values = steps[keep], values[keep]
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0
    x = LEFT + (WIDTH - LEFT - 8) * (steps - steps[0]) / max(steps[-1] - steps[0], 1.0)
    y = TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (values - low) / span)
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    marks = ""
    for finding in findings:
        share = (finding.step - steps[0]) / max(steps[-1] - steps[0], 1.0)
        at = LEFT + (WIDTH - LEFT - 8) * min(max(share, 0.0), 1.0)
        marks += (
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="var(--fault)" '
            f'stroke-dasharray="4 3"><title>{escape(finding.title)}</title></line>'
        )
    axis = (
        f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}" stroke="var(--line)"/>'
        f'<text x="{LEFT - 4}" y="{TOP + 8}" text-anchor="end">{high:.3g}</text>'
        f'<text x="{LEFT - 4}" y="{HEIGHT - BOTTOM}" text-anchor="end">{low:.3g}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 8}">{steps[0]:,.0f}</text>'
        f'<text x="{WIDTH - 8}" y="{HEIGHT - 8}" text-anchor="end">{steps[-1]:,.0f} steps</text>'
    )
    told = "; ".join(f.title for f in findings)
    caption = escape(tag) + (f' <span class="soft">{escape(told)}</span>' if told else "")
    return (
        f"<figure{' class=marked' if findings else ''}><figcaption>{caption}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(tag)}">{axis}'
        f'<polyline points="{path}" fill="none" stroke="var(--curve)" stroke-width="1.5"/>{marks}</svg></figure>'
    )
