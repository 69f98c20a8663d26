"""FAULTS.md names tests that exist."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent


def test_every_fault_is_held_by_a_test_that_exists():
    table = (FOLDER / "FAULTS.md").read_text()
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert [row for row in rows if "`tests/" not in row.rpartition(" | ")[2]] == [
        row for row in rows if row.startswith(("| situation |", "| --- |"))
    ]
    named = set(re.findall(r"`tests/([\w/]+\.py)::(\w+)`", table))
    assert len(named) > 50
    missing = [
        (file, name)
        for file, name in sorted(named)
        if not re.search(rf"^def {name}\(", (FOLDER / file).read_text(), re.MULTILINE)
    ]
    assert missing == []
