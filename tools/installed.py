"""The program of administrators where it is installed: its modules are those of this folder."""

import sys
from pathlib import Path


def main() -> int:
    sys.path.insert(0, str(Path(__file__).parent))
    from admin.__main__ import main

    return main()
