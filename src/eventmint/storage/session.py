"""The one door to AWS: clients that try again by themselves, and errors that say what to do.

Credentials, profile and endpoint come from where boto3 looks for them (environment, shared files, role of the
machine; `AWS_ENDPOINT_URL` for an emulator); nothing is read from or written to our own configuration.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from http import HTTPStatus
from types import ModuleType
from typing import Any

from eventmint.errors import EventmintError, FixData, FixSettings, TryAgain

# `standard` waits between tries at random, up to 20 s, and only where trying again is safe.
TRIES = 5
CONNECT_SECONDS = 10
READ_SECONDS = 60
HASTY_SECONDS = 5

_NO_CREDENTIALS = "Set AWS_PROFILE, run `aws sso login` or `aws configure`, or export AWS_ACCESS_KEY_ID."
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_UNKNOWN_KEY = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_DENIED = frozenset(
    {"403", "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "Forbidden"}
)
_ELSEWHERE = frozenset(
    {
        "301",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
        "TemporaryRedirect",
    }
)
_BUSY = frozenset(
    {
        "500",
        "503",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServiceException",
        "LimitExceededException",
        "OperationInProgressException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


def client(service: str, region: str, *, is_patient: bool = True) -> Any:
    """Return a client of one AWS service.

    Args: is_patient: whether it may take minutes; else it gives up after some ten seconds.
    Raises: FixSettings: boto3 is missing, or the region or the profile can't be.
    """
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError as err:
        raise FixSettings(
            f"{err.name} is not installed, and nothing on AWS works without it.",
            "Install it with `pip install 'eventmint[aws]'`.",
        ) from err
    config = Config(
        retries={"mode": "standard", "total_max_attempts": TRIES if is_patient else 2},
        connect_timeout=CONNECT_SECONDS if is_patient else HASTY_SECONDS,
        read_timeout=READ_SECONDS if is_patient else HASTY_SECONDS,
    )
    with telling():
        return _session(_surroundings(), boto3).client(service, region_name=region, config=config)


def _surroundings() -> tuple[tuple[str, str], ...]:
    return tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))


@lru_cache(maxsize=4)
def _session(_surroundings: tuple[tuple[str, str], ...], boto3: ModuleType) -> Any:
    """Return a session of these surroundings: boto3's own one would keep the credentials it found first.

    One for all clients: finding credentials may take calls over the network.
    """
    return boto3.session.Session()


def is_emulator(endpoint: str) -> bool:
    """Whether an endpoint is an emulator: it has a page that AWS has not."""
    from urllib.error import URLError
    from urllib.parse import urlsplit
    from urllib.request import ProxyHandler, build_opener

    address = urlsplit(endpoint)
    if (address.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws")):
        return False
    try:
        page = f"{address.scheme}://{address.netloc}/moto-api/config"
        with build_opener(ProxyHandler({})).open(page, timeout=CONNECT_SECONDS) as answer:
            return bool(answer.status < HTTPStatus.MULTIPLE_CHOICES)
    except (URLError, OSError):
        return False


def account_id(region: str) -> str:
    """Return the account of the credentials in use."""
    sts = client("sts", region)
    with telling():
        return str(sts.get_caller_identity()["Account"])


@contextmanager
def telling() -> Iterator[None]:
    """Turn errors of boto3 into errors that say what to do.

    Raises: FixSettings, FixData or TryAgain, after what helps.
    """
    try:
        yield
    except Exception as err:
        told = told_of(err)
        if told is None:
            raise
        raise told from err


def told_of(err: Exception) -> EventmintError | None:
    """Return an error of boto3 as one that says what to do; None for an error of somebody else."""
    if "botocore" not in sys.modules:  # then it is: a lake in a folder need not load all that to know
        return None
    try:
        from boto3.exceptions import S3UploadFailedError
        from botocore import exceptions as vendor
        from botocore.parsers import ResponseParserError
    except ModuleNotFoundError:
        return None
    if isinstance(err, S3UploadFailedError) and isinstance(err.__context__, Exception):
        return told_of(err.__context__)  # the refusal itself: the wrapper has only its words
    if isinstance(err, vendor.ClientError):
        return _refused(err)
    if isinstance(err, vendor.WaiterError):
        return TryAgain(f"AWS: waiting ended early: {_sentence(err)}", "Run the command again: it goes on.")
    text = _sentence(err)
    for kinds, made in (
        ((vendor.NoCredentialsError,), FixSettings("AWS: no credentials were found.", _NO_CREDENTIALS)),
        (
            (vendor.PartialCredentialsError, vendor.CredentialRetrievalError),
            FixSettings(f"AWS: the credentials cannot be read: {text}", _NO_CREDENTIALS),
        ),
        (
            (vendor.TokenRetrievalError, vendor.SSOError),
            FixSettings(f"AWS: the sign-in is not valid any more: {text}", "Run `aws sso login` again."),
        ),
        (
            (vendor.ProfileNotFound, vendor.ConfigParseError),
            FixSettings(f"AWS: {text}", "Check AWS_PROFILE and ~/.aws/config."),
        ),
        (
            (vendor.InvalidRegionError, vendor.NoRegionError, vendor.UnknownRegionError),
            FixSettings(f"AWS: {text}", "Set aws.region, such as us-west-2."),
        ),
        (
            (ResponseParserError,),
            TryAgain("AWS answered in a way that cannot be read.", "Check AWS_ENDPOINT_URL, then try again."),
        ),
        (
            # A region that does not exist has no address either: both causes are named.
            (vendor.HTTPClientError, vendor.ConnectionError),
            TryAgain(f"AWS cannot be reached: {text}", "Check the network, aws.region and AWS_ENDPOINT_URL."),
        ),
        ((vendor.BotoCoreError,), FixData(f"AWS: {text}", "See more with -v.")),
    ):
        if isinstance(err, kinds):
            return made
    return None


def error_code(err: BaseException | None) -> str:
    """Return the code that AWS gave to an error, such as NoSuchBucket; empty where there is none."""
    response = getattr(err, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _refused(err: Any) -> EventmintError:
    code, call = error_code(err), err.operation_name
    said = _sentence(err.response.get("Error", {}).get("Message") or code)
    if code in _EXPIRED:
        return FixSettings("AWS: the credentials have expired.", "Sign in again: `aws sso login`.")
    if code in _UNKNOWN_KEY:
        return FixSettings(f"AWS does not accept the credentials: {said}", _NO_CREDENTIALS)
    if code in _DENIED:
        return FixSettings(
            f"AWS denied {call}: {said}", "Ask for this permission, or use credentials that have it."
        )
    if code in _ELSEWHERE:
        return FixSettings(f"AWS: {call}: this lies in another region: {said}", "Set aws.region to it.")
    if code in _BUSY:
        return TryAgain(f"AWS is busy: {call}: {said}", "Run the command again in a minute.")
    return FixData(f"AWS refused {call} ({code}): {said}", "See more with -v.")


def _sentence(words: object) -> str:
    text = " ".join(str(words).split())
    return text if text.endswith((".", "!", "?")) else f"{text}."
