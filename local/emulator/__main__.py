"""Serves the APIs of the account until its standard input is closed.

    python -m local.emulator HOME

`fire RULE` on a line of that input makes the schedule rule RULE due.
"""

import logging
import os
import shutil
import sys
import threading
import time
from functools import partial
from pathlib import Path

from local import api, forks, imds, metrics, mount_targets
from local.autoscaling import AutoScaling
from local.emulator import (
    AUTHORIZATIONS,
    cloudformation,
    commands,
    efs,
    functions,
    groups,
    iam,
    images,
    ministack,
    missing_names,
    refusals,
)
from local.fleet import FILE_SYSTEMS, Fleet

SCHEDULE_TICK_SECONDS = 1
TWO_YEARS = 2 * 365 * 86400


def main(home: Path) -> None:
    if missing := missing_names():
        sys.exit(f"This ministack lacks what the local account hooks into: {', '.join(missing)}")
    _trust_own_certificate(api.certificate(home))
    install(home)
    threading.Thread(target=_obey, name="control", daemon=True).start()
    sys.argv = ["ministack"]
    with forks.serve():
        ministack("app").main()


def install(home: Path) -> None:
    """Puts everything in place that runs inside ministack."""
    metadata = imds.MetadataService()
    fleet = Fleet(home, metadata, iam.open_session, groups.launch_configuration)
    scaling = AutoScaling(groups.all_groups, groups.lifecycle_hooks, fleet.launch, groups.publish)
    enforce = ministack("core.iam_evaluator").enforce
    mount_targets.serve(partial(efs.client_rights, metadata, enforce, home / FILE_SYSTEMS))
    iam.hook(home / AUTHORIZATIONS)
    cloudformation.hook()
    refusals.hook()
    images.hook()
    groups.hook(scaling)
    commands.hook(scaling, fleet)
    functions.hook(home / "python")
    ministack("services.eventbridge")._SCHEDULER_TICK_INTERVAL = SCHEDULE_TICK_SECONDS
    ministack("services.scheduler")._SCHEDULE_TICK_INTERVAL = SCHEDULE_TICK_SECONDS
    metadata.start()
    metrics.receive(home / metrics.JOURNAL)
    os.environ["METRICS_URL"] = metrics.URL  # for the Lambda functions, which inherit it
    threading.Thread(target=groups.reconcile_for_ever, args=(scaling,), daemon=True).start()


def _trust_own_certificate(certificate: Path) -> None:
    """The Lambda functions inherit this environment, and the only server they talk to is this."""
    made, _ = ministack("core.tls").resolve_tls_material()
    shutil.copyfile(made, certificate)
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        os.environ[name] = str(certificate)


def _obey() -> None:
    """Carries out the lines of the standard input; ends the emulator when it is closed."""
    for line in sys.stdin:
        command, _, name = line.strip().partition(" ")
        if command == "fire":
            _make_due(name)
    os._exit(0)


def _make_due(rule: str) -> None:
    """Lets the next tick find that a schedule rule has not fired for two years."""
    service = ministack("services.eventbridge")
    for (account, region, key), record in service._rules.all_items():
        if record["Name"] == rule:
            service._rule_last_fired[account, region, key] = time.time() - TWO_YEARS


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    main(Path(sys.argv[1]))
