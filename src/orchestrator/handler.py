"""The Lambda entry point: parse, load, decide, apply; then observe."""

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from common.limits import shortened

from orchestrator import events
from orchestrator.actions import Action, Attempt, WorldChanged
from orchestrator.aws import RETRIES, Account
from orchestrator.core import Decision, decide
from orchestrator.observer import BRIEFLY, Observer
from orchestrator.settings import Settings

ATTEMPTS = 3
LINE_BYTES = 20_000  # of the log; what Lambda is called with may be longer

logger = logging.getLogger("orchestrator")
logger.setLevel(logging.INFO)


class Context(Protocol):
    """What is used of Lambda's context object."""

    aws_request_id: str
    invoked_function_arn: str


def lambda_handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Act on one event; return {"reason": text, "actions": [names], "observations": [names]}.

    Every error is logged and raised, so that Lambda delivers the event again. Observations are
    tried when all is done, and fail nothing.
    """
    try:
        parsed = events.parse(event, context.aws_request_id)
        settings, account, observer = _connect(context.invoked_function_arn)
        decision = handle(parsed, settings, account)
    except Exception:
        logger.exception("event failed: %s", _line(event))
        raise
    done = {
        "reason": decision.reason,
        "actions": [_name(action) for action in decision.actions],
        "observations": [type(observation).__name__ for observation in decision.observations],
    }
    logger.info(_line({"event": event, **done}))
    observe(decision, observer)
    return done


def _line(content: Mapping[str, Any]) -> str:
    return shortened(json.dumps(content, default=str), LINE_BYTES)


def _name(action: Action) -> str:
    return _name(action.action) if isinstance(action, Attempt) else type(action).__name__


def handle(event: events.Event, settings: Settings, account: Account) -> Decision:
    """Decide and apply, again when the world changed in between."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            decision = decide(event, account.load(event), settings, datetime.now(UTC))
            for action in decision.actions:
                account.apply(action)
            break
        except WorldChanged as change:
            if attempt == ATTEMPTS:
                raise
            logger.info("deciding again: %s", change)
    return decision


def observe(decision: Decision, observer: Observer) -> None:
    for observation in decision.observations:
        try:
            observer.observe(observation)
        except (BotoCoreError, ClientError, OSError) as error:
            logger.warning("left out, which changes no backup: %s: %s", observation, error)
        except Exception:
            logger.exception("left out, which changes no backup: %s", observation)


@cache
def _connect(function_arn: str) -> tuple[Settings, Account, Observer]:
    """Settings and clients, made once per cold start."""
    settings = Settings.from_env(os.environ)
    account = Account(settings, function_arn, partial(boto3.client, config=RETRIES))
    return settings, account, Observer(settings, partial(boto3.client, config=BRIEFLY))
