"""What an administrator runs. What it shares with the engine, it imports from there."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "ec2" / "lib"))
