#!/usr/bin/env python3
"""Writes assessment.txt: the score and mode of all 72 combinations of size, security, cost and network, for 0 to 13
compliance entries, by the rules as the document states them. It shares nothing with the program but those rules.

A line: size, security, cost, network, then a score and a mode's first letter for each number of entries.
"""

from pathlib import Path


def score(size, security, entries, cost, network):
    points = 3 if size > 100 else 2 if size > 10 else 1
    points += {"low": 1, "medium": 2, "high": 3, "critical": 4}[security]
    points += entries
    points += {"low": 1, "medium": 2, "high": 3}[cost]
    return points + (2 if network else 0)


def mode(points):
    return "direct" if points <= 5 else "proxy" if points <= 10 else "gateway" if points <= 15 else "hybrid"


lines = []
for size in (10, 100, 101):
    for security in ("low", "medium", "high", "critical"):
        for cost in ("low", "medium", "high"):
            for network in (False, True):
                row = [score(size, security, n, cost, network) for n in range(14)]
                cells = " ".join(f"{points}{mode(points)[0]}" for points in row)
                lines.append(f"{size} {security} {cost} {str(network).lower()} {cells}\n")
Path(__file__).with_name("assessment.txt").write_text("".join(lines))
