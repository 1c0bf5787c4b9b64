#!/usr/bin/env python3
"""A scripted stand-in for a model provider, for tests with the real coding client.

Speaks, on one port, the three wire formats a gateway can have in front of it or behind it:
  * Anthropic Messages     POST /v1/messages, /v1/messages/count_tokens, GET /v1/models[/ID]
  * Amazon Bedrock         POST /model/ID/invoke, /model/ID/invoke-with-response-stream,
                           /model/ID/count-tokens, GET /inference-profiles[/ID]
  * Google Vertex AI       POST .../publishers/anthropic/models/ID:rawPredict and :streamRawPredict,
                           .../models/count-tokens:rawPredict
No model is behind it: the answer is chosen by a marker in the prompt,

    scenario:NAME run:ID

NAME picks the script, ID keeps apart the state (attempt numbers) of two runs. A request without a
marker gets a short plain answer. Every request is appended as one JSON line to the record file (with the
SHA-256 of its body and of the answer's, so that a test can tell whether a byte changed on the way) and
can be read back over HTTP:

    GET    /__stub/record[?run=ID]   JSON array of what was received
    DELETE /__stub/record            forget it
    GET    /__stub/health            {"ok": true}

With --gateway it also plays, crudely, the part of a gateway that the client signs in to (discovery,
device flow approved by the third poll, managed settings, telemetry, usage), so that the sign-in cases
of this harness can themselves be checked without a gateway.

With --aws-key ID:SECRET requests in Bedrock's form must be signed with that key, as botocore would sign them
(aws_signature.py; needs botocore). Requests in the form of a cloud are refused where the cloud refuses them: members of the
body that do not belong there, a version that is missing or another.

Further scenarios are loaded with --scenarios FILE.py; such a file defines functions decorated with
@scenario("name") exactly as below.  Python 3.11 or newer, standard library only (but for --aws-key).
"""
import argparse
import base64
import binascii
import hashlib
import http.server
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

MARKER = re.compile(r"scenario:([A-Za-z0-9_.-]+)(?:\s+run:([A-Za-z0-9_.-]+))?")
SCENARIOS = {}


def scenario(name):
    def deco(fn):
        SCENARIOS[name] = fn
        return fn
    return deco


# --------------------------------------------------------------------------- answers
class Reply:
    """What a scenario returns: a message (streamed or not, as the request asks), or an error."""

    def __init__(self, blocks=None, stop_reason=None, usage=None, delay=0.0, chunk=24,
                 chunk_delay=0.0, pings=0, ping_every=0.0, first_ping=True, cut_after=None,
                 cut_hard=False, end_after=None, split=0, headers=None, status=200, error=None, raw=None,
                 mid_stream_error=None, start_usage=None, delta_usage=None):
        self.blocks = blocks or []
        self.stop_reason = stop_reason or (
            "tool_use" if any(b["type"] == "tool_use" for b in self.blocks) else "end_turn")
        self.usage = usage or {}
        self.delay = delay                  # seconds before the first byte
        self.chunk = chunk                  # characters per text delta
        self.chunk_delay = chunk_delay      # seconds between deltas
        self.pings, self.ping_every = pings, ping_every  # pings sent before the content
        self.first_ping = first_ping
        self.cut_after = cut_after          # drop the connection after this many deltas
        self.cut_hard = cut_hard            # with a TCP reset rather than a plain close
        self.end_after = end_after          # end the response in good order, but too early
        self.split = split                  # write the stream in pieces of so many bytes
        self.headers = headers or {}
        self.status = status
        self.error = error                  # (type, message)
        self.raw = raw                      # (content_type, bytes): sent as it is
        self.mid_stream_error = mid_stream_error  # (after_deltas, type, message): an SSE error event
        self.start_usage = start_usage      # `usage` of message_start, as it is
        self.delta_usage = delta_usage      # `usage` of message_delta, as it is


def text(*parts, **kw):
    return Reply([{"type": "text", "text": p} for p in parts], **kw)


def tool(name, args, id=None, say=None, **kw):
    blocks = [{"type": "text", "text": say}] if say else []
    blocks.append({"type": "tool_use", "name": name, "input": args, "id": id})
    return Reply(blocks, **kw)


def error(status, etype, message, headers=None, **kw):
    return Reply(status=status, error=(etype, message), headers=headers, **kw)


class Call:
    """One inference request as a scenario sees it."""

    def __init__(self, server, handler, wire, model, body, name, run):
        self.server, self.handler, self.wire = server, handler, wire
        self.model, self.body, self.name, self.run = model, body, name, run
        self.headers = handler.headers
        self.messages = body.get("messages") or []
        self.tools = [t.get("name") for t in body.get("tools") or []]
        self.stream = bool(body.get("stream")) or wire in ("bedrock-stream", "vertex-stream")
        self.attempt = 0                    # 1, 2, ... of this scenario in this run (all requests)

    def results(self):
        """Tool results in the last user message, as [(id, text, is_error, block)]."""
        out = []
        last = [m for m in self.messages if m.get("role") == "user"][-1:]
        for m in last:
            for b in m["content"] if isinstance(m.get("content"), list) else []:
                if b.get("type") == "tool_result":
                    out.append((b.get("tool_use_id"), flat(b.get("content")), bool(b.get("is_error")), b))
        return out

    def count(self, key):
        """A counter kept for this run: 1 on the first call, 2 on the second, ..."""
        with self.server.lock:
            k = (self.run, self.name, key)
            self.server.counters[k] = self.server.counters.get(k, 0) + 1
            return self.server.counters[k]

    def user_text(self):
        return "\n".join(flat(m.get("content")) for m in self.messages if m.get("role") == "user")

    def arg(self, key, default=None):
        """key=value given in the prompt beside the marker."""
        m = re.search(r"\b%s=(\S+)" % re.escape(key), self.user_text())
        return m.group(1) if m else default


def flat(content):
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    out = []
    for b in content:
        if isinstance(b, str):
            out.append(b)
        elif b.get("type") == "text":
            out.append(b.get("text", ""))
        elif b.get("type") == "tool_result":
            out.append(flat(b.get("content")))
    return "\n".join(out)


def find_marker(body):
    """The newest marker in the user's messages (then anywhere else in the system prompt)."""
    for m in reversed(body.get("messages") or []):
        if m.get("role") != "user":
            continue
        hits = MARKER.findall(flat(m.get("content")))
        if hits:
            return hits[-1]
    hits = MARKER.findall(flat(body.get("system")))
    return hits[-1] if hits else ("", "")


# --------------------------------------------------------------------------- the basic scenarios
PLAIN = "The quick answer is forty-two."


@scenario("")
def default(call):
    if (call.body.get("output_config") or {}).get("format") or call.body.get("output_format"):
        return text('{"title": "Stub session"}')
    return text("ok")


@scenario("plain")
def plain(call):
    return text(PLAIN, usage={"input_tokens": 11, "output_tokens": 7,
                              "cache_creation_input_tokens": 300, "cache_read_input_tokens": 1200})


def long_text(words=4000):
    return " ".join("w%05d" % i for i in range(words)) + " END-OF-LONG-TEXT"


@scenario("long-text")
def s_long_text(call):
    return text(long_text(), chunk=40, chunk_delay=0.003, usage={"output_tokens": 8000})


@scenario("slow-stream")
def s_slow_stream(call):
    """Goes on for minutes, a few words at a time."""
    return text(long_text(), chunk=24, chunk_delay=0.25)


@scenario("tool-write")
def tool_write(call):
    got = call.results()
    if not got:
        return tool("Write", {"file_path": call.arg("file", "out.txt"),
                              "content": "written by the scripted model\nsecond line\n"},
                    say="I will write the file.")
    tid, txt, bad, _ = got[-1]
    return text("WRITE-FAILED: " + txt[:200] if bad else "The file is written.")


@scenario("tool-bash")
def tool_bash(call):
    got = call.results()
    if not got:
        return tool("Bash", {"command": "printf 'hello-%s' from-bash", "description": "Print a word"})
    tid, txt, bad, _ = got[-1]
    return text("The command printed [%s]." % txt.strip())


@scenario("thinking")
def thinking(call):
    sig = base64.b64encode(hashlib.sha256(call.run.encode()).digest() * 6).decode()
    if not call.results():
        return Reply([{"type": "thinking", "thinking": "First I look at the folder, then I answer.",
                       "signature": sig},
                      {"type": "text", "text": "Let me look."},
                      {"type": "tool_use", "name": "Bash", "id": None,
                       "input": {"command": "echo thought-ok", "description": "Echo"}}])
    # the client must hand back the thinking block, unchanged, with its signature
    for m in call.messages:
        if m.get("role") == "assistant" and isinstance(m.get("content"), list):
            for b in m["content"]:
                if b.get("type") == "thinking" and b.get("signature") == sig:
                    return Reply([{"type": "thinking", "thinking": "It came back.", "signature": sig},
                                  {"type": "text", "text": "THINKING-KEPT " + call.results()[-1][1].strip()}])
    return text("THINKING-LOST")


@scenario("usage")
def usage(call):
    """Answers with the usage that the prompt spells out: usage=BASE64URL of {"start": {...}, "delta": {...}},
    the two `usage` objects of a stream. The cost oracle uses it."""
    spelled = json.loads(base64.urlsafe_b64decode(call.arg("usage")))
    return text("metered", start_usage=spelled["start"], delta_usage=spelled["delta"])


@scenario("error-after-start")
def error_after_start(call):
    """A stream that fails before its first delta, once: the client asks again, without streaming."""
    if call.count("try") <= 1:
        return text("never seen", mid_stream_error=(0, "overloaded_error", "Overloaded"))
    return text("Answered without a stream." if not call.stream else "Answered by a second stream.")


@scenario("cut-stream")
def cut_stream(call):
    """A connection that breaks in the middle of the first text, once."""
    if call.count("try") <= 1:
        return text("lost " * 40, chunk=8, cut_after=6)
    return text("Answered after the cut.")


@scenario("overloaded-once")
def overloaded_once(call):
    if call.count("try") <= 1:
        return error(529, "overloaded_error", "Overloaded")
    return text("Answered on a later try.")


# --------------------------------------------------------------------------- wire formats
def usage_of(reply, out_len):
    u = {"input_tokens": 10, "output_tokens": max(1, out_len // 4),
         "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
         "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
         "service_tier": "standard"}
    u.update(reply.usage)
    if "cache_creation" not in reply.usage:
        u["cache_creation"] = {"ephemeral_5m_input_tokens": u["cache_creation_input_tokens"],
                               "ephemeral_1h_input_tokens": 0}
    return u


def fill_ids(server, blocks):
    out = []
    for b in blocks:
        b = dict(b)
        if b["type"] == "tool_use" and not b.get("id"):
            b["id"] = "toolu_stub%016d" % server.serial()
        out.append(b)
    return out


def message_json(server, call, reply):
    blocks = fill_ids(server, reply.blocks)
    n = sum(len(json.dumps(b)) for b in blocks)
    return {"id": "msg_stub%016d" % server.serial(), "type": "message", "role": "assistant",
            "model": call.model, "content": blocks, "stop_reason": reply.stop_reason,
            "stop_sequence": None, "usage": usage_of(reply, n)}


def events(msg, reply):
    """The stream events of a message, in order; deltas are marked so that a cut can count them."""
    start = dict(msg, content=[], stop_reason=None)
    start["usage"] = reply.start_usage or dict(msg["usage"], output_tokens=1)
    yield False, {"type": "message_start", "message": start}
    if reply.first_ping:
        yield False, {"type": "ping"}
    for _ in range(reply.pings):
        time.sleep(reply.ping_every)
        yield False, {"type": "ping"}
    for i, b in enumerate(msg["content"]):
        if b["type"] == "text":
            yield False, {"type": "content_block_start", "index": i, "content_block": {"type": "text", "text": ""}}
            for j in range(0, len(b["text"]), reply.chunk):
                yield True, {"type": "content_block_delta", "index": i,
                             "delta": {"type": "text_delta", "text": b["text"][j:j + reply.chunk]}}
        elif b["type"] == "thinking":
            yield False, {"type": "content_block_start", "index": i,
                          "content_block": {"type": "thinking", "thinking": "", "signature": ""}}
            for j in range(0, len(b["thinking"]), reply.chunk):
                yield True, {"type": "content_block_delta", "index": i,
                             "delta": {"type": "thinking_delta", "thinking": b["thinking"][j:j + reply.chunk]}}
            yield True, {"type": "content_block_delta", "index": i,
                         "delta": {"type": "signature_delta", "signature": b["signature"]}}
        elif b["type"] == "tool_use":
            yield False, {"type": "content_block_start", "index": i,
                          "content_block": {"type": "tool_use", "id": b["id"], "name": b["name"], "input": {}}}
            s = json.dumps(b["input"])
            yield True, {"type": "content_block_delta", "index": i,
                         "delta": {"type": "input_json_delta", "partial_json": ""}}
            step = max(reply.chunk, 1)
            for j in range(0, len(s), step):
                yield True, {"type": "content_block_delta", "index": i,
                             "delta": {"type": "input_json_delta", "partial_json": s[j:j + step]}}
        else:
            yield False, {"type": "content_block_start", "index": i, "content_block": b}
        yield False, {"type": "content_block_stop", "index": i}
    yield False, {"type": "message_delta",
                  "delta": {"stop_reason": msg["stop_reason"], "stop_sequence": None},
                  "usage": reply.delta_usage or {k: v for k, v in msg["usage"].items() if isinstance(v, int)}}
    yield False, {"type": "message_stop"}


def eventstream(headers, payload):
    """One frame of application/vnd.amazon.eventstream (string headers only)."""
    h = b""
    for k, v in headers:
        k, v = k.encode(), v.encode()
        h += struct.pack("!B", len(k)) + k + b"\x07" + struct.pack("!H", len(v)) + v
    prelude = struct.pack("!II", 12 + len(h) + len(payload) + 4, len(h))
    prelude += struct.pack("!I", binascii.crc32(prelude) & 0xFFFFFFFF)
    body = prelude + h + payload
    return body + struct.pack("!I", binascii.crc32(body) & 0xFFFFFFFF)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "stub-upstream"
    sys_version = ""

    def log_message(self, *a):
        if self.server.verbose:
            sys.stderr.write("%s %s\n" % (time.strftime("%H:%M:%S"), a[0] % a[1:]))

    # -- plumbing
    def read_body(self):
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            out = b""
            while True:
                n = int(self.rfile.readline().split(b";")[0].strip() or b"0", 16)
                if n == 0:
                    while self.rfile.readline().strip():
                        pass
                    return out
                out += self.rfile.read(n)
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send_json(self, status, obj, headers=None):
        data = json.dumps(obj).encode()
        self.send_bytes(status, "application/json", data, headers)

    def send_bytes(self, status, ctype, data, headers=None):
        self.send_response(status)
        self.send_header("Content-Type", ctype)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("request-id", self.reqid)
        for k, v in (headers or {}).items():
            self.send_header(k, str(v))
        self.end_headers()
        if self.command != "HEAD":
            self.sent.update(data)
            self.wfile.write(data)
        self.rec["status"] = status

    def send_error_json(self, status, etype, message, headers=None):
        h = {"x-should-retry": "true" if status in (408, 409, 429) or status >= 500 else "false"}
        h.update(headers or {})
        h = {k: v for k, v in h.items() if v is not None}
        self.send_json(status, {"type": "error", "error": {"type": etype, "message": message},
                                "request_id": self.reqid}, h)

    def authorized(self):
        if not self.server.tokens:
            return True
        got = [self.headers.get("x-api-key") or ""]
        a = self.headers.get("Authorization") or ""
        if a.lower().startswith("bearer "):
            got.append(a[7:].strip())
        return any(t in self.server.tokens for t in got if t)

    # -- entry
    def handle_any(self):
        self.reqid = "req_stub%012d" % self.server.serial()
        t0 = time.time()
        raw = self.read_body()
        self.sent = hashlib.sha256()
        u = urllib.parse.urlsplit(self.path)
        with self.server.lock:
            self.server.in_flight += 1
            inflight = self.server.in_flight
        self.rec = {"t": round(t0, 4), "method": self.command, "path": u.path, "query": u.query,
                    "headers": [[k, v] for k, v in self.headers.items()], "size": len(raw),
                    "sha256": hashlib.sha256(raw).hexdigest(),
                    "in_flight": inflight, "request_id": self.reqid, "port": self.client_address[1]}
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = None
            self.rec["body_raw"] = raw[:2000].decode("latin1")
        self.rec["body"] = body
        stub_call = u.path.startswith("/__stub/")
        try:
            if stub_call:
                self.stub_admin(u)
            else:
                self.route(u, body, raw)
        except (BrokenPipeError, ConnectionResetError) as e:
            self.rec["client_gone"] = repr(e)
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.in_flight -= 1
            self.rec["seconds"] = round(time.time() - t0, 3)
            self.rec["sent_sha256"] = self.sent.hexdigest()
            if not stub_call:
                self.server.keep(self.rec)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = handle_any

    def stub_admin(self, u):
        q = urllib.parse.parse_qs(u.query)
        if u.path == "/__stub/health":
            return self.send_json(200, {"ok": True, "scenarios": sorted(SCENARIOS)})
        if u.path == "/__stub/record":
            if self.command == "DELETE":
                with self.server.lock:
                    self.server.records.clear()
                return self.send_json(200, {"ok": True})
            with self.server.lock:
                rs = list(self.server.records)
            if "run" in q:
                rs = [r for r in rs if r.get("run") == q["run"][0]]
            return self.send_json(200, rs)
        self.send_json(404, {"error": "no such stub page"})

    def cloud_refuses(self, aws, count, body, raw):
        """Answers as the cloud would where it would not take a request; says whether it did."""
        if aws and self.server.aws_key:
            from aws_signature import problem
            wrong = problem(self.command, self.path, self.headers, raw, *self.server.aws_key)
            if wrong:
                self.send_json(403, {"message": wrong}, {"x-amzn-errortype": "InvalidSignatureException"})
                return True
        elif not self.authorized():
            if aws:
                self.send_json(403, {"message": "invalid token"}, {"x-amzn-errortype": "UnrecognizedClientException"})
            else:
                self.send_json(401, {"error": {"code": 401, "message": "bad token", "status": "UNAUTHENTICATED"}})
            return True
        if aws and count:
            try:
                body = json.loads(base64.b64decode(body["input"]["invokeModel"]["body"], validate=True))
            except (KeyError, TypeError, ValueError):
                body = {"input": 1}
        wrong = []
        version = str(body.get("anthropic_version"))    # the SDKs send the API's own, which is a date
        if version != ("bedrock-2023-05-31" if aws else "vertex-2023-10-16") and not re.fullmatch(r"\d{4}-\d\d-\d\d", version):
            wrong.append("anthropic_version: Field required")
        if aws or not count:
            extra = ["model", "stream"] if aws else ["model", "anthropic_beta"]
            wrong += ["%s: Extra inputs are not permitted" % name for name in extra if name in body]
        if aws and "max_tokens" not in body:
            wrong.append("max_tokens: Field required")
        if not wrong:
            return False
        message = "; ".join(wrong)
        if aws:
            self.send_json(400, {"message": message}, {"x-amzn-errortype": "ValidationException"})
        else:
            self.send_error_json(400, "invalid_request_error", message)
        return True

    def route(self, u, body, raw):
        p = u.path
        mb = re.search(r"/model/([^/]+)/(invoke|invoke-with-response-stream|count-tokens)$", p)
        mv = re.search(r"/publishers/anthropic/models/([^/]+):(rawPredict|streamRawPredict)$", p)
        if p == "/" or p.endswith("/api/hello"):
            return self.send_json(200, {"message": "hello"})
        if self.server.gateway and self.gateway_page(u, body):
            return
        if self.command == "POST" and isinstance(body, dict) and (mb or mv):
            count = p.endswith("/count-tokens") or p.endswith("count-tokens:rawPredict")
            if self.cloud_refuses(bool(mb), count, body, raw):
                return
        elif not self.authorized():
            return self.send_error_json(401, "authentication_error", "unknown credential")
        if self.command == "GET" and re.search(r"/v1/models(/|$)", p):
            ms = [{"type": "model", "id": i, "display_name": i.replace("-", " ").title(),
                   "created_at": "2025-01-01T00:00:00Z"} for i in self.server.models]
            one = p.rsplit("/v1/models", 1)[1].strip("/")
            if one:
                ms = [m for m in ms if m["id"] == one]
                return self.send_json(200, ms[0]) if ms else \
                    self.send_error_json(404, "not_found_error", "model: " + one)
            return self.send_json(200, {"data": ms, "has_more": False,
                                        "first_id": ms[0]["id"], "last_id": ms[-1]["id"]})
        if self.command == "GET" and "/inference-profiles" in p:
            return self.send_json(200, {"inferenceProfileSummaries": []})
        if self.command != "POST" or body is None:
            return self.send_error_json(404, "not_found_error", "Not found")
        if p.endswith("/v1/messages/count_tokens") or p.endswith("/count-tokens") or \
                p.endswith("count-tokens:rawPredict"):
            n = len(json.dumps(body)) // 4
            self.rec["scenario"], self.rec["run"] = find_marker(body)
            return self.send_json(200, {"inputTokens" if p.endswith("/count-tokens") else "input_tokens": n})
        if mb:
            wire = "bedrock-stream" if mb.group(2).endswith("stream") else "bedrock"
            model = urllib.parse.unquote(mb.group(1))
        elif mv:
            wire = "vertex-stream" if mv.group(2) == "streamRawPredict" else "vertex"
            model = urllib.parse.unquote(mv.group(1))
        elif p.endswith("/v1/messages"):
            wire, model = "messages", body.get("model", "?")
        else:
            return self.send_error_json(404, "not_found_error", "Not found")
        self.infer(wire, model, body)

    def gateway_page(self, u, body):
        """The sign-in side of a gateway; True when the request was one of its pages."""
        g, p = self.server.gateway, u.path
        form = dict(urllib.parse.parse_qsl(self.rec.get("body_raw", "")))
        if p == "/.well-known/oauth-authorization-server":
            self.send_json(200, {"issuer": g["base"],
                                 "device_authorization_endpoint": g["base"] + "/oauth/device_authorization",
                                 "token_endpoint": g["base"] + "/oauth/token",
                                 "revocation_endpoint": g["base"] + "/oauth/revoke",
                                 "grant_types_supported": ["urn:ietf:params:oauth:grant-type:device_code",
                                                           "refresh_token"]})
        elif p == "/oauth/device_authorization":
            g["polls"] = 0
            self.send_json(200, {"device_code": "device-code-1", "user_code": "WDJB-MJHT", "interval": 1,
                                 "verification_uri": g["base"] + "/device", "expires_in": 600,
                                 "verification_uri_complete": g["base"] + "/device?user_code=WDJB-MJHT"})
        elif p == "/oauth/token" and form.get("grant_type") == "refresh_token":
            if form.get("refresh_token") == "refresh-gone":
                self.send_json(401, {"error": "invalid_grant"})
            else:
                self.send_json(200, {"access_token": g["token"], "token_type": "Bearer",
                                     "expires_in": 3600, "refresh_token": "refresh-2"})
        elif p == "/oauth/token":
            g["polls"] += 1
            if g["polls"] < 3:
                self.send_json(400, {"error": "authorization_pending"})
            else:
                self.send_json(200, {"access_token": g["token"], "token_type": "Bearer", "expires_in": 3600,
                                     "refresh_token": "refresh-1", "email": "dev@example.com"})
        elif p == "/oauth/revoke":
            self.send_json(200, {})
        elif not self.authorized():
            return False
        elif p == "/managed/settings":
            if g["settings"] is None:
                self.send_error_json(404, "not_found_error", "no managed settings")
                return True
            canon = json.dumps(g["settings"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            tag = "sha256:" + hashlib.sha256(canon.encode()).hexdigest()
            if self.headers.get("If-None-Match") == '"%s"' % tag:
                self.send_response(304)
                self.send_header("ETag", '"%s"' % tag)
                self.end_headers()
                self.rec["status"] = 304
            else:
                self.send_json(200, {"uuid": tag, "checksum": tag, "settings": g["settings"]},
                               {"ETag": '"%s"' % tag})
        elif p in ("/v1/metrics", "/v1/logs", "/v1/traces"):
            self.send_json(200, {})
        elif p == "/api/oauth/usage":
            self.send_json(200, {"extra_usage": {"is_enabled": True, "monthly_limit": 50000, "currency": "USD",
                                                 "used_credits": 27140, "utilization": 54}, "limits": []})
        else:
            return False
        return True

    def infer(self, wire, model, body):
        name, run = find_marker(body)
        call = Call(self.server, self, wire, model, body, name, run)
        self.rec.update(scenario=name, run=run, wire=wire, model=model, stream=call.stream,
                        n_messages=len(call.messages), n_tools=len(call.tools))
        side = name and not call.tools and name not in self.server.toolless_ok
        # Requests without tools that carry the marker are the client's side tasks (a title, a
        # summary): they are answered plainly and do not advance the script.
        self.rec["side"] = bool(side)
        fn = SCENARIOS.get("" if side else name)
        if fn is None:
            return self.send_error_json(400, "invalid_request_error", "unknown scenario " + name)
        if not side:
            call.attempt = self.rec["attempt"] = call.count("_all")
        try:
            reply = fn(call)
        except Exception as e:          # a mistake in a script must not look like a network fault
            sys.stderr.write("scenario %s: %r\n" % (name, e))
            return self.send_error_json(400, "invalid_request_error", "scenario %s failed: %r" % (name, e))
        if reply.delay:
            time.sleep(reply.delay)
        if reply.error:
            return self.send_error_json(reply.status, reply.error[0], reply.error[1], reply.headers)
        if reply.raw:
            return self.send_bytes(reply.status, reply.raw[0], reply.raw[1], reply.headers)
        msg = message_json(self.server, call, reply)
        if not call.stream:
            return self.send_json(200, msg, reply.headers)
        self.stream(wire, msg, reply)

    def stream(self, wire, msg, reply):
        aws = wire == "bedrock-stream"
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.amazon.eventstream" if aws
                         else "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("request-id", self.reqid)
        if aws:
            self.send_header("x-amzn-bedrock-content-type", "application/json")
        for k, v in reply.headers.items():
            self.send_header(k, str(v))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.rec["status"] = 200
        deltas = 0
        for is_delta, ev in events(msg, reply):
            if is_delta:
                if reply.cut_after is not None and deltas >= reply.cut_after:
                    self.rec["cut"] = deltas
                    self.close_connection = True
                    if reply.cut_hard:
                        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    try:
                        self.wfile.flush()
                        self.connection.shutdown(socket.SHUT_RDWR) if not reply.cut_hard else self.connection.close()
                    except OSError:
                        pass
                    return
                if reply.end_after is not None and deltas >= reply.end_after:
                    self.rec["cut"] = deltas
                    return self.end_chunks()
                if reply.mid_stream_error and deltas >= reply.mid_stream_error[0]:
                    _, et, em = reply.mid_stream_error
                    self.chunk(self.frame(aws, {"type": "error", "error": {"type": et, "message": em}}))
                    self.end_chunks()
                    return
                deltas += 1
                if reply.chunk_delay:
                    time.sleep(reply.chunk_delay)
            data = self.frame(aws, ev)
            for j in range(0, len(data), reply.split or len(data) or 1):
                self.chunk(data[j:j + (reply.split or len(data))])
        self.end_chunks()
        self.rec["deltas"] = deltas

    def frame(self, aws, ev):
        data = json.dumps(ev)
        if not aws:
            return ("event: %s\ndata: %s\n\n" % (ev["type"], data)).encode()
        if ev["type"] == "ping":
            return b""      # Bedrock's stream has no pings
        payload = json.dumps({"bytes": base64.b64encode(data.encode()).decode(), "p": "abcdefgh"}).encode()
        return eventstream([(":event-type", "chunk"), (":content-type", "application/json"),
                            (":message-type", "event")], payload)

    def chunk(self, data):
        if data:
            self.sent.update(data)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

    def end_chunks(self):
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, addr, record=None, tokens=(), models=(), verbose=False):
        super().__init__(addr, Handler)
        self.lock = threading.RLock()
        self.counters, self.records, self.in_flight, self._serial = {}, [], 0, 0
        self.tokens, self.models, self.verbose = set(tokens), list(models), verbose
        self.toolless_ok = set()            # scenarios whose requests need carry no tools
        self.gateway = None
        self.aws_key = None
        self.out = open(record, "a", buffering=1) if record else None

    def serial(self):
        with self.lock:
            self._serial += 1
            return self._serial

    def keep(self, rec):
        with self.lock:
            self.records.append(rec)
            if self.out:
                self.out.write(json.dumps(rec) + "\n")

    def handle_error(self, request, client_address):
        e = sys.exc_info()[1]
        if not isinstance(e, (ConnectionError, ssl.SSLError, TimeoutError)):
            super().handle_error(request, client_address)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--host", default="127.0.0.1")
    ap.add_argument("--port", type=int, default=0, help="0: any free port (printed, see --port-file)")
    ap.add_argument("--port-file", help="write the port number there once listening")
    ap.add_argument("--record", help="append every request to this JSONL file")
    ap.add_argument("--token", action="append", default=[], help="accepted credential (repeatable); none: all are")
    ap.add_argument("--aws-key", metavar="ID:SECRET", help="what requests in Bedrock's form must be signed with")
    ap.add_argument("--models", default="claude-opus-4-8,claude-sonnet-5,claude-haiku-4-5")
    ap.add_argument("--gateway", metavar="SETTINGS.json", nargs="?", const="",
                    help="also play a gateway's sign-in side, with these managed settings")
    ap.add_argument("--toolless", default="", help="comma-separated scenarios that answer requests without tools too")
    ap.add_argument("--scenarios", action="append", default=[], help="a Python file with more scenarios")
    ap.add_argument("--tls-cert")
    ap.add_argument("--tls-key")
    ap.add_argument("--client-ca", help="with --tls-cert: ask the client for a certificate of this CA")
    ap.add_argument("-v", "--verbose", action="store_true")
    a = ap.parse_args()
    for path in a.scenarios:
        with open(path) as f:
            exec(compile(f.read(), path, "exec"), globals())
    srv = Server((a.host, a.port), a.record, a.token, a.models.split(","), a.verbose)
    srv.toolless_ok.update(filter(None, a.toolless.split(",")))
    if a.aws_key:
        srv.aws_key = a.aws_key.split(":", 1)
        import aws_signature  # noqa: F401: it is missed at once, not at the first request
    if a.tls_cert:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(a.tls_cert, a.tls_key)
        if a.client_ca:
            ctx.load_verify_locations(a.client_ca)
            ctx.verify_mode = ssl.CERT_REQUIRED
        srv.socket = ctx.wrap_socket(srv.socket, server_side=True)
    port = srv.server_address[1]
    if a.gateway is not None:
        srv.gateway = {"base": "%s://%s:%d" % ("https" if a.tls_cert else "http", a.host, port),
                       "token": a.token[0] if a.token else "stub-token", "polls": 0,
                       "settings": json.load(open(a.gateway)) if a.gateway else None}
    if a.port_file:
        with open(a.port_file + ".tmp", "w") as f:
            f.write("%d\n" % port)
        os.replace(a.port_file + ".tmp", a.port_file)
    print("listening on %s:%d" % (a.host, port), flush=True)
    try:
        srv.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
