"""Signs requests as botocore does. Reads one JSON object a line, writes the Authorization header of each."""

import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

for line in sys.stdin:
    case = json.loads(line)
    now = datetime.datetime.fromtimestamp(case["time"], datetime.timezone.utc).replace(tzinfo=None)
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True, now=now: now
    credentials = Credentials(case["id"], case["secret"], case["token"])
    request = AWSRequest(method=case["method"], url=case["url"], data=case["body"].encode(), headers=dict(case["headers"]))
    botocore.auth.SigV4Auth(credentials, case["service"], case["region"]).add_auth(request)
    print(json.dumps({"authorization": request.headers["Authorization"], "date": request.headers["X-Amz-Date"]}))
