"""The AWS side: loads the world, applies one action.

boto3 clients are typed Any: their methods are made from service models at run time, and this
module is the only place that calls them.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Literal, assert_never
from uuid import uuid4

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from common.dynamodb import tagged
from common.statuses import RUNNING
from common.table import (
    KEY,
    LOCK_KEY,
    NEWEST_KEY,
    REQUESTS_KEY,
    SCALE_IN_KEY,
    UNFINISHED_KEY,
    key_of,
)

from orchestrator.actions import (
    Action,
    Announce,
    AskToHold,
    Attempt,
    AwaitScaleIn,
    BeginRun,
    CallFunction,
    CloseRun,
    CompleteHook,
    EndInstance,
    EndWorkers,
    NoteSnapshot,
    Notify,
    ReleaseLock,
    RemoveSchedule,
    Retry,
    ScaleIn,
    ScaleOut,
    Schedule,
    StopInstance,
    WorldChanged,
)
from orchestrator.bus import EventBus
from orchestrator.core import Group, World
from orchestrator.events import Check, Close, Event, Start, Stop
from orchestrator.functions import Functions
from orchestrator.instances import Instances
from orchestrator.record import (
    CLOSING,
    UNDONE,
    Item,
    Lock,
    NewestSnapshot,
    Record,
    Step,
    Value,
    unfinished_from_item,
)
from orchestrator.schedules import Schedules
from orchestrator.settings import Settings

RETRIES = Config(
    retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=10
)
# Longer than the function can run: who has noted a scale-in for so long is dead.
SCALE_IN_SECONDS = 360
# Thrice is longer than LEAVING, and shorter than the function can run.
AWAIT_SECONDS = 45

ABSENT = f"attribute_not_exists({KEY})"
# Who is scaling the group in: until when that counts, in seconds since 1970, and an id.
CALLS = "Calls"

logger = logging.getLogger(__name__)


class Account:
    """The resources of one deployment.

    client: makes the boto3 client for a service name, e.g. partial(boto3.client, config=RETRIES),
    with another configuration where one is given.
    function_arn: the function that scheduled entries call.
    """

    def __init__(self, settings: Settings, function_arn: str, client: Callable[..., Any]) -> None:
        self._settings = settings
        self._dynamodb = client("dynamodb")
        self._autoscaling = client("autoscaling")
        self._schedules = Schedules(settings, function_arn, client("scheduler"))
        self._instances = Instances(settings, self._autoscaling, client("ssm"))
        self._sns = client("sns")
        self._bus = EventBus(client)
        self._functions = Functions(settings, self._dynamodb, client)

    def load(self, event: Event) -> World:
        """The world as the event's decision needs it. Raises WorldChanged when lock and group may
        not belong together, LookupError for an unknown group, and botocore's errors."""
        item = self._item(LOCK_KEY)
        lock = Lock.from_item(item) if item else None
        named = {event.backup_id} if isinstance(event, Start | Stop | Close) else set()
        if lock:
            named.add(lock.run)
        noted = self._item(UNFINISHED_KEY) if isinstance(event, Check) else None
        unfinished = unfinished_from_item(noted or {})
        named |= unfinished.keys()
        items = {run: self._item(run) for run in named}
        records = {run: Record.from_item(item) for run, item in items.items() if item}
        newest = self._item(NEWEST_KEY) if isinstance(event, Check) else None
        group = self._group_for(event)
        if self._item(LOCK_KEY) != item:
            # The capacity may be that of a run that has just begun, or none of one that is over.
            raise WorldChanged("a run has begun or ended while the group was read")
        return World(
            lock,
            records,
            group,
            NewestSnapshot.from_item(newest) if newest else None,
            unfinished,
        )

    def apply(self, action: Action) -> None:
        """Carry out one action; doing it again does no harm.

        Raises WorldChanged when the action's condition no longer holds, and botocore's errors.
        """
        match action:
            case BeginRun(record, lock):
                self._begin_run(record, lock)
            case Schedule():
                self._schedules.add(action)
            case ScaleOut():
                self._set_desired(self._settings.group, 1)
            case ScaleIn(run):
                self._scale_in(run)
            case EndWorkers():
                self._set_desired(self._settings.worker_group, 0)
            case AwaitScaleIn():
                self._await_scale_in()
            case EndInstance(instance):
                self._instances.end(instance)
            case StopInstance(terminating):
                self._instances.stop(terminating)
            case CompleteHook(terminating):
                self._instances.complete_hook(terminating)
            case CloseRun(record):
                self._close_run(record)
            case Notify(subject, body):
                self._sns.publish(TopicArn=self._settings.topic_arn, Subject=subject, Message=body)
            case Announce():
                self._bus.put(action)
            case CallFunction():
                self._functions.call(action)
            case NoteSnapshot(snapshot):
                self._note_snapshot(snapshot)
            case AskToHold():
                self._ask_to_hold(action)
            case RemoveSchedule(run):
                self._schedules.remove(run)
            case ReleaseLock(run):
                self._release_lock(run)
            case Attempt(run, step, inner):
                self._attempt(run, step, (inner,))
            case Retry(run, step, inners):
                if self._attempt(run, step, inners):
                    self._mark("DELETE", run, step)
            case _:
                assert_never(action)

    def _attempt(self, run: str, step: Step, actions: tuple[Action, ...]) -> bool:
        """Whether all was done; if a service refused, that is noted."""
        try:
            for action in actions:
                self.apply(action)
        except (BotoCoreError, ClientError) as error:
            logger.warning("not done, to be tried again: %s of run %s: %s", step, run, error)
            if run:
                self._mark("ADD", run, step)
            return False
        return True

    def _mark(self, verb: Literal["ADD", "DELETE"], run: str, step: Step) -> None:
        """In the record for people, if that can be done, and then where checks look for it."""
        values = {":steps": {"SS": [str(step)]}}
        try:
            self._dynamodb.update_item(
                TableName=self._settings.table,
                Key=key_of(run),
                UpdateExpression=f"{verb} {UNDONE} :steps",
                ConditionExpression=f"attribute_exists({KEY})",
                ExpressionAttributeValues=values,
            )
        except (BotoCoreError, ClientError) as error:
            logger.info("the record of run %s does not say so: %s", run, error)
        self._dynamodb.update_item(
            TableName=self._settings.table,
            Key=key_of(UNFINISHED_KEY),
            UpdateExpression=f"{verb} #run :steps",
            ExpressionAttributeNames={"#run": run},
            ExpressionAttributeValues=values,
        )

    def _item(self, key: str) -> Item | None:
        response = self._dynamodb.get_item(
            TableName=self._settings.table, Key=key_of(key), ConsistentRead=True
        )
        item: Item | None = response.get("Item")
        return item

    def _group_for(self, event: Event) -> Group:
        """The end of a window ends the run, whatever can be known of its instance."""
        try:
            return self._group()
        except (BotoCoreError, ClientError, LookupError) as error:
            if not isinstance(event, Close | Check):
                raise
            logger.warning("the groups are taken to have instances still: %s", error)
            return Group(1, frozenset(), workers=1 if self._settings.worker_group else 0)

    def _group(self) -> Group:
        name, workers = self._settings.group, self._settings.worker_group
        response = self._autoscaling.describe_auto_scaling_groups(
            AutoScalingGroupNames=[name, workers] if workers else [name]
        )
        groups = {group["AutoScalingGroupName"]: group for group in response["AutoScalingGroups"]}
        if name not in groups:
            raise LookupError(f"Auto Scaling group {name} does not exist; check the stack")
        group = groups[name]
        states = {i["InstanceId"]: i["LifecycleState"] for i in group["Instances"]}
        ending = {i for i, state in states.items() if state.startswith("Terminat")}
        helping = groups[workers]["DesiredCapacity"] if workers in groups else 0
        return Group(group["DesiredCapacity"], frozenset(states), frozenset(ending), helping)

    def _begin_run(self, record: Record, lock: Lock) -> None:
        table = self._settings.table
        puts = [
            {"Put": {"TableName": table, "Item": item, "ConditionExpression": ABSENT}}
            for item in (record.to_item(), lock.to_item())
        ]
        self._transact(
            [*puts, self._nobody_scales_in()],
            f"run {lock.run} or another run has begun, or the group is being scaled in",
        )

    def _nobody_scales_in(self) -> dict[str, Any]:
        """A write for a transaction that holds only then. Whoever scales the group in has looked at
        the lock before, and may not have called yet; what the dead have noted goes."""
        calls = (self._item(SCALE_IN_KEY) or {}).get(CALLS)
        condition: dict[str, Any] = {"ConditionExpression": f"attribute_not_exists({CALLS})"}
        if calls:
            if any(float(call.split()[0]) > time.time() for call in calls["SS"]):
                raise WorldChanged("the group is being scaled in")
            condition = {
                "ConditionExpression": f"{CALLS} = :dead",
                "ExpressionAttributeValues": {":dead": calls},
            }
        return {
            "Delete": {"TableName": self._settings.table, "Key": key_of(SCALE_IN_KEY)} | condition
        }

    def _transact(self, items: list[dict[str, Any]], changed: str) -> None:
        """All writes, provided that all of their conditions hold, or none."""
        try:
            self._dynamodb.transact_write_items(TransactItems=items)
        except ClientError as error:
            reasons = error.response.get("CancellationReasons", [])
            if any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons):
                raise WorldChanged(changed) from error
            raise

    def _set_desired(self, group: str, capacity: int) -> None:
        self._autoscaling.set_desired_capacity(
            AutoScalingGroupName=group,
            DesiredCapacity=capacity,
            HonorCooldown=False,
        )

    def _scale_in(self, run: str) -> None:
        """The table knows of it until it is done, and lets no run begin meanwhile."""
        table, call = self._settings.table, f"{time.time() + SCALE_IN_SECONDS} {uuid4()}"
        held: dict[str, Any] = {"ConditionExpression": ABSENT}
        if run:
            held = {
                "ConditionExpression": "#run = :run",
                "ExpressionAttributeNames": {"#run": "Run"},
                "ExpressionAttributeValues": {":run": {"S": run}},
            }
        self._transact(
            [
                {"ConditionCheck": {"TableName": table, "Key": key_of(LOCK_KEY), **held}},
                {"Update": self._noted_call("ADD", call)},
            ],
            f"the lock is not that of run {run} any more",
        )
        try:
            self._set_desired(self._settings.group, 0)
        finally:
            self._forget_scale_in(call)

    def _noted_call(self, verb: Literal["ADD", "DELETE"], call: str) -> dict[str, Any]:
        """Each has a note of its own, so that none forgets another's."""
        return {
            "TableName": self._settings.table,
            "Key": key_of(SCALE_IN_KEY),
            "UpdateExpression": f"{verb} {CALLS} :call",
            "ExpressionAttributeValues": {":call": {"SS": [call]}},
        }

    def _await_scale_in(self) -> None:
        deadline = time.monotonic() + AWAIT_SECONDS
        while self._group().desired and time.monotonic() < deadline:
            time.sleep(1)
        raise WorldChanged("the instance of the last run has ended itself, or takes long")

    def _forget_scale_in(self, call: str) -> None:
        """It runs out by itself."""
        try:
            self._dynamodb.update_item(**self._noted_call("DELETE", call))
        except (BotoCoreError, ClientError) as error:
            logger.info("that the group is scaled in stays noted for a while: %s", error)

    def _close_run(self, record: Record) -> None:
        item = record.to_item()
        try:
            self._dynamodb.update_item(
                TableName=self._settings.table,
                Key={KEY: item[KEY]},
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in CLOSING),
                ConditionExpression="#BackupStatus = :running",
                ExpressionAttributeNames={f"#{name}": name for name in CLOSING},
                ExpressionAttributeValues={
                    ":running": {"S": RUNNING},
                    **{f":{name}": item[name] for name in CLOSING},
                },
            )
        except ClientError as error:
            if _code(error) == "ConditionalCheckFailedException":
                raise WorldChanged(f"run {record.backup_id} has reported meanwhile") from error
            raise

    def _note_snapshot(self, snapshot: NewestSnapshot) -> None:
        item = snapshot.to_item()
        try:
            self._dynamodb.put_item(
                TableName=self._settings.table,
                Item=item,
                ConditionExpression=f"attribute_not_exists({KEY}) OR #time < :time",
                ExpressionAttributeNames={"#time": "Time"},
                ExpressionAttributeValues={":time": item["Time"]},
            )
        except ClientError as error:
            if _code(error) != "ConditionalCheckFailedException":
                raise
            logger.info("a snapshot that is as new as that of run %s is noted", snapshot.run)

    def _ask_to_hold(self, ask: AskToHold) -> None:
        request: Value = {"Action": "hold", "Snapshot": ask.snapshot, "Name": ask.name}
        self._dynamodb.update_item(
            TableName=self._settings.table,
            Key=key_of(REQUESTS_KEY),
            UpdateExpression="SET #key = :request",
            ExpressionAttributeNames={"#key": ask.key},
            ExpressionAttributeValues={":request": tagged(request)},
        )

    def _release_lock(self, run: str) -> None:
        try:
            self._dynamodb.delete_item(
                TableName=self._settings.table,
                Key=key_of(LOCK_KEY),
                ConditionExpression="#run = :run",
                ExpressionAttributeNames={"#run": "Run"},
                ExpressionAttributeValues={":run": {"S": run}},
            )
        except ClientError as error:
            if _code(error) != "ConditionalCheckFailedException":
                raise
            logger.info("the lock of run %s has been released already", run)


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
