# SPDX-License-Identifier: Apache-2.0
"""What runs over more and more computes took, and what each further one adds."""

from __future__ import annotations

import re

# Column of the table: what is measured in a run, in CPU seconds.
PLACES = {
    "control": "control node",
    "computes": "machine of the computes",
    "controller": "controller's machine",
}


def recap(output: str) -> dict:
    """Return host -> the numbers of its line in the last recap of a run."""
    rows = re.findall(r"^(\S+)\s+: (ok=\d+.*)$", output.rpartition("PLAY RECAP")[2], re.M)
    return {host: {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)", row)} for host, row in rows}


def complaints(found: dict, hosts: list) -> list:
    """Return the problem of a run that must have reached every host and changed nothing."""
    lines = [f"{host} took no part" for host in hosts if host not in found]
    for host, numbers in found.items():
        bad = [f"{key}={numbers[key]}" for key in ("changed", "failed", "unreachable") if numbers.get(key)]
        lines += [f"{host} ended with {' '.join(bad)}"] if bad else []
    return lines


def net(used: float, idle_rate: float, seconds: float) -> float:
    """Return the CPU seconds of a machine without those that it takes when nothing is asked of it."""
    return max(0.0, used - idle_rate * seconds)


def line_through(points: list) -> tuple:
    """Return (slope, value at 0) of the line with the least squares through points (x, y)."""
    count = len(points)
    if len({x for x, _ in points}) < 2:
        raise ValueError(f"A slope needs two numbers of computes; given: {sorted({x for x, _ in points})}.")
    middle_x, middle_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    slope = sum((x - middle_x) * (y - middle_y) for x, y in points) / spread
    return slope, middle_y - slope * middle_x


def slopes(rows: list) -> dict:
    """Return what one more compute adds in each place, from the measured rows."""
    return {place: line_through([(row["computes"], row["cpu"][place]) for row in rows]) for place in PLACES}


def table(rows: list) -> str:
    """Return the rows and the slopes in markdown."""
    lines = [
        f"| Computes | {', CPU s | '.join(PLACES.values())}, CPU s | Wall, s | Load average before |",
        "|--:|" + "--:|" * (len(PLACES) + 2),
    ]
    for row in rows:
        cells = [f"{row['cpu'][place]:.2f}" for place in PLACES]
        lines.append(f"| {row['computes']} | {' | '.join(cells)} | {row['wall']:.1f} | {row['load']:.1f} |")
    found = slopes(rows)
    lines.append(f"| **each further one** | {' | '.join(f'**{found[place][0]:.2f}**' for place in PLACES)} | | |")
    return "\n".join(lines)
