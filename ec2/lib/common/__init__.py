"""What the instance, the Lambdas and admin/ have in common: each fact once. The build puts it into
each zip.

Python 3.9, standard library only: this runs on Amazon Linux 2023's own python3, too.
"""

from pathlib import Path

PRICES = Path(__file__).with_name("prices.toml")
