"""The permissions in docs/security.md, taken from its code blocks as they stand."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
_KINDS = {"--topic": ResourceType.TOPIC, "--group": ResourceType.GROUP, "--transactional-id": ResourceType.TRANSACTIONAL_ID}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


class Permission(NamedTuple):
    """One thing that one principal may do."""

    principal: str
    operation: str
    kind: str
    name: str
    prefixed: bool

    def __str__(self) -> str:
        return f"{self.principal} {self.operation} {self.kind.lstrip('-')} {self.name}"

    @property
    def _parts(self) -> tuple[ResourceType, str, ResourcePatternType, str, str, AclOperation, AclPermissionType]:
        pattern = ResourcePatternType.PREFIXED if self.prefixed else ResourcePatternType.LITERAL
        operation = _OPERATIONS[self.operation]
        return _KINDS[self.kind], self.name, pattern, f"User:{self.principal}", "*", operation, AclPermissionType.ALLOW

    def grant(self, admin: AdminClient) -> None:
        """Apply it."""
        for future in admin.create_acls([AclBinding(*self._parts)]).values():
            future.result(30)

    def take_away(self, admin: AdminClient) -> None:
        """Undo it; there must have been exactly this one."""
        for future in admin.delete_acls([AclBindingFilter(*self._parts)]).values():
            assert len(future.result(30)) == 1


def kafka_permissions() -> list[Permission]:
    """Every `kafka-acls.sh` command of the page, one permission for each operation."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("kafka-acls.sh ")]
    return [permission for line in lines for permission in _parsed(shlex.split(line)[1:])]


def _parsed(words: list[str]) -> list[Permission]:
    assert words.pop(0) == "--add"
    options = list(zip(words[::2], words[1::2], strict=True))
    single = dict(options)
    ((kind, name),) = [(option, value) for option, value in options if option in _KINDS]
    principal = single["--allow-principal"].removeprefix("User:")
    prefixed = single.get("--resource-pattern-type") == "prefixed"
    return [Permission(principal, value, kind, name, prefixed) for option, value in options if option == "--operation"]


def redis_command(user: str = "tidings") -> list[str]:
    """The `ACL SETUSER` command of the page for a user, as words."""
    ((line),) = re.findall(rf"^ACL SETUSER {user} .*$", PAGE.read_text(), re.MULTILINE)
    return str(line).split()
