"""From a group's contents to the notification of one integration. Pure."""

from worker.notify.config import NotifyConfig
from worker.notify.groups import Contents, Group
from worker.notify.parts import SlackConfig
from worker.notify.payload import Heading, encode_message, message
from worker.notify.ports import Notification
from worker.notify.routing import GroupName
from worker.notify.slack import encode_slack, slack_message


def write(config: NotifyConfig, name: GroupName, group: Group, contents: Contents, external_url: str) -> Notification:
    """Return the notification, in the format of the integration that the group is for."""
    target = config.targets[name.target]
    heading = Heading(target.receiver, name.group_key, group.labels, external_url)
    if isinstance(target.config, SlackConfig):
        body = encode_slack(slack_message(target.config, heading, contents))
    else:
        body = encode_message(message(heading, contents, target.config.max_alerts))
    return Notification(name, contents.key, body)
