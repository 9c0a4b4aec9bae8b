"""Open the alert store as the settings say; by itself, for commands need it without the roles."""

from urllib.parse import urlsplit

from pydantic import SecretStr

from worker.adapters.redis import RedisAlertStore, RedisIdentity, RedisStoreOptions
from worker.settings import Settings
from worker.tls import TlsFiles


def connect_store(settings: Settings) -> RedisAlertStore:
    """Open the alert store; Redis itself need not be there yet."""
    redis = settings.redis
    options = RedisStoreOptions(
        prefix=redis.prefix,
        state_ttl_s=redis.state_ttl_s,
        stream_max_events=redis.stream_max_events,
        timeout_s=redis.timeout_s,
    )
    key_password = _revealed(redis.ssl_key_password)
    files = TlsFiles(redis.ssl_ca_location, redis.ssl_certificate_location, redis.ssl_key_location, key_password)
    identity = RedisIdentity(username=redis.username, password=_revealed(redis.password), files=files)
    return RedisAlertStore.connect(redis.url.get_secret_value(), options, identity, cluster=redis.cluster)


def store_address(settings: Settings) -> str:
    """Return host and port, or the socket's path: the URL may hold a password."""
    url = urlsplit(settings.redis.url.get_secret_value())
    return url.path if url.scheme == "unix" else url.netloc.rpartition("@")[2]


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
