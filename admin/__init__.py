"""What an administrator runs. What it shares with the account's side, it imports from there."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path += [str(ROOT / "ec2" / "lib"), str(ROOT / "src")]
