"""Whether a request is signed as Amazon's own client library would have signed it (botocore, from PyPI)."""
import datetime
import re
import time

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

FORM = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
                  r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$")


def problem(method, path, headers, body, key_id, secret):
    """Says what is wrong with a request's signature; None when nothing is. `headers` is a mapping."""
    m = FORM.match(headers.get("Authorization") or "")
    if not m:
        return "there is no signature"
    if m.group(1) != key_id:
        return "the key is not known"
    date = headers.get("X-Amz-Date") or ""
    try:
        now = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ")
    except ValueError:
        return "there is no date"
    if abs(now.replace(tzinfo=datetime.timezone.utc).timestamp() - time.time()) > 300:
        return "the signature is too old or too new"
    signed = m.group(5).split(";")
    if "host" not in signed or "x-amz-date" not in signed:
        return "the host or the date is not signed"
    skip = ("host", "x-amz-date", "x-amz-security-token")
    request = AWSRequest(method=method, url="http://%s%s" % (headers["Host"], path), data=body,
                         headers={n: headers[n] for n in signed if n not in skip})
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True: now
    credentials = Credentials(key_id, secret, headers.get("X-Amz-Security-Token"))
    botocore.auth.SigV4Auth(credentials, m.group(4), m.group(3)).add_auth(request)
    if request.headers["Authorization"] != headers["Authorization"]:
        return "the signature does not match"
    return None
