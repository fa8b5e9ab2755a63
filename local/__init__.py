"""The local account and the demo. What they share with what runs there, they import from there."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "ec2" / "lib"))
