"""What the `run` scripts share: finding and running the real client, the stub upstream, the case runner.

Python 3.11 or newer, standard library only.
"""
import argparse
import base64
import http.client
import http.server
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
STUB = os.path.join(HERE, "stub_upstream.py")
CASES = []

# Which of the client's variables put the credential into which header.
KEY_VARIABLES = {"authorization": ("ANTHROPIC_AUTH_TOKEN",), "x-api-key": ("ANTHROPIC_API_KEY",),
                 "both": ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY")}


class Skip(Exception):
    pass


def case(name, timeout=90, needs=()):
    """Registers a test case: a function of one Ctx that raises AssertionError when it fails."""
    def deco(fn):
        CASES.append((name, fn, timeout, needs))
        return fn
    return deco


def find_client(path=None):
    d = os.environ.get("REALCLIENT_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "realclient")
    path = path or os.path.join(d, "claude")
    if not os.access(path, os.X_OK):
        sys.exit("no client at %s: run `install` first (see README.md)" % path)
    return path


def http_json(url, method="GET", timeout=10):
    req = urllib.request.Request(url, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(req, timeout=timeout) as r:
        return json.loads(r.read())


class Stub:
    """A stub upstream of our own (for --direct and for cases that need a second one)."""

    def __init__(self, *args, scenarios=()):
        self.dir = tempfile.mkdtemp(prefix="realclient-stub-")
        pf = os.path.join(self.dir, "port")
        cmd = [sys.executable, STUB, "--port-file", pf, *args]
        for s in scenarios:
            cmd += ["--scenarios", s]
        self.err = open(os.path.join(self.dir, "stderr"), "w+")
        self.proc = subprocess.Popen(cmd, stdout=subprocess.DEVNULL, stderr=self.err)
        for _ in range(600):
            if os.path.exists(pf):
                break
            if self.proc.poll() is not None:
                self.err.seek(0)
                sys.exit("stub upstream did not start:\n" + self.err.read())
            time.sleep(0.05)
        self.url = "http://127.0.0.1:%s" % open(pf).read().strip()

    def stop(self):
        self.proc.terminate()
        self.proc.wait(5)
        self.err.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Tee:
    """A recording pass-through between the client and the gateway: keeps the exact request and
    response of every exchange. tee.url is the base URL to give to the client."""

    def __init__(self, target):
        t = urllib.parse.urlsplit(target)
        self.log, prefix = [], t.path.rstrip("/")
        tee = self

        class H(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def go(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                conn = (http.client.HTTPSConnection if t.scheme == "https" else http.client.HTTPConnection)(
                    t.hostname, t.port, timeout=600)
                hs = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", "accept-encoding")}
                hs["Accept-Encoding"] = "identity"
                conn.request(self.command, prefix + self.path, body, hs)
                r = conn.getresponse()
                self.send_response(r.status)
                for k, v in r.getheaders():
                    if k.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                        self.send_header(k, v)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                got = b""
                while True:
                    d = r.read1(65536)
                    if not d:
                        break
                    got += d
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(d), d))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")
                tee.log.append({"method": self.command, "path": self.path, "request": body, "status": r.status,
                                "headers": dict((k.lower(), v) for k, v in self.headers.items()),
                                "response": got,
                                "response_headers": dict((k.lower(), v) for k, v in r.getheaders())})

            do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = go

        self.srv = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
        self.srv.daemon_threads = True
        threading.Thread(target=self.srv.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.srv.server_address[1]

    def stop(self):
        self.srv.shutdown()
        self.srv.server_close()


class Result:
    def __init__(self, rc, out, err, seconds, lines):
        self.rc, self.out, self.err, self.seconds, self.lines = rc, out, err, seconds, lines
        self.events = []                    # [(seconds since start, parsed line)]
        for t, l in lines:
            try:
                self.events.append((t, json.loads(l)))
            except ValueError:
                pass
        rs = [e for _, e in self.events if isinstance(e, dict) and e.get("type") == "result"]
        self.json = rs[-1] if rs else {}

    def __getitem__(self, k):
        return self.json.get(k)

    def brief(self):
        keep = ("is_error", "api_error_status", "result", "terminal_reason", "num_turns", "usage")
        return "rc=%s %s %s" % (self.rc, {k: self.json.get(k) for k in keep if k in self.json},
                                (self.err.strip() or ("" if self.json else self.out))[:400])


class Ctx:
    def __init__(self, a, client):
        self.a, self.client = a, client
        self.base_url, self.token = a.base_url, a.token
        self.stub_url = a.stub_url
        self.run_id = secrets.token_hex(5)
        self.home = tempfile.mkdtemp(prefix="realclient-home-")
        self.work = tempfile.mkdtemp(prefix="realclient-work-")

    def close(self):
        if not self.a.keep:
            shutil.rmtree(self.home, ignore_errors=True)
            shutil.rmtree(self.work, ignore_errors=True)

    def prompt(self, name, words="", run=None):
        return ("Please do this. %s scenario:%s run:%s" % (words, name, run or self.run_id)).replace("  ", " ")

    def credential(self, token):
        """The variables that make the client send this token in the header(s) under test."""
        return {v: token for v in KEY_VARIABLES[self.a.key_header]}

    def env(self, **more):
        e = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": self.home, "LANG": "C.UTF-8",
             "TMPDIR": self.work, "DISABLE_AUTOUPDATER": "1",
             "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
             "ANTHROPIC_BASE_URL": self.base_url}
        e.update(self.credential(self.token))
        if self.a.ca:
            e["NODE_EXTRA_CA_CERTS"] = self.a.ca
        if self.a.model:
            e["ANTHROPIC_MODEL"] = self.a.model
        e.update(more)
        return {k: v for k, v in e.items() if v is not None}

    def claude(self, prompt, *args, env=None, stdin=None, timeout=None, stream=False, cwd=None):
        """One headless run of the client. `env` adds to the environment (None removes a variable)."""
        cmd = [self.client, "-p"]
        if prompt is not None:
            cmd.append(prompt)
        cmd += ["--output-format", "stream-json", "--verbose"] if stream else ["--output-format", "json"]
        cmd += args
        t0 = time.time()
        p = subprocess.Popen(cmd, env=self.env(**(env or {})), cwd=cwd or self.work, text=True,
                             stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lines, err = [], []
        readers = [threading.Thread(target=lambda: [lines.append((time.time() - t0, l)) for l in p.stdout]),
                   threading.Thread(target=lambda: err.append(p.stderr.read()))]
        for r in readers:
            r.start()
        try:
            if stdin is not None:
                p.stdin.write(stdin)
                p.stdin.close()
            rc = p.wait(timeout or self.timeout)
        except subprocess.TimeoutExpired:
            p.kill()
            rc = "timeout"
        for r in readers:
            r.join(5)
        return Result(rc, "".join(l for _, l in lines), "".join(err), time.time() - t0, lines)

    def record(self, run=None):
        """What the stub upstream received with this run's marker, side requests left out."""
        if not self.stub_url:
            raise Skip("needs --stub-url")
        time.sleep(0.15)                    # a record is written when its answer has been sent
        rs = http_json("%s/__stub/record?run=%s" % (self.stub_url, run or self.run_id))
        return [r for r in sorted(rs, key=lambda r: r["t"]) if not r.get("side")]


def headers(rec):
    return {k.lower(): v for k, v in rec["headers"]}


def check(cond, message, *show):
    if not cond:
        raise AssertionError(" | ".join([message] + [s.brief() if isinstance(s, Result) else str(s)[:600] for s in show]))


def succeeded(r, want):
    check(r.rc == 0 and r["is_error"] is False, "the client did not succeed", r)
    check(r["result"] == want, "another answer than %r" % want[:80], r)


def main(doc, scenarios=()):
    ap = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--direct", action="store_true", help="start a stub upstream and talk to it (checks the harness)")
    ap.add_argument("--base-url", help="the gateway under test, as clients reach it")
    ap.add_argument("--token", help="a credential that it accepts")
    ap.add_argument("--key-header", choices=sorted(KEY_VARIABLES), default="authorization",
                    help="how the client presents its credential (default: authorization)")
    ap.add_argument("--bad-token", default="no-such-token-" + secrets.token_hex(4))
    ap.add_argument("--stub-url", help="the stub upstream behind the gateway, to check what reached it")
    ap.add_argument("--bedrock-url", help="where the gateway serves Bedrock's format (else those cases are skipped)")
    ap.add_argument("--vertex-url", help="where it serves Vertex AI's format, up to and without /projects")
    ap.add_argument("--foundry-url", help="where it serves Foundry's format, up to and without /v1/messages")
    ap.add_argument("--signin", action="store_true", help="the gateway has the client's sign-in side: run those cases too")
    ap.add_argument("--model", help="ask for this model")
    ap.add_argument("--ca", help="CA file for an https gateway")
    ap.add_argument("--client", help="the client's program (default: where `install` puts it)")
    ap.add_argument("--only", help="comma-separated names")
    ap.add_argument("--skip", default="", help="comma-separated names")
    ap.add_argument("--keep", action="store_true", help="keep the folders of each case")
    ap.add_argument("--list", action="store_true")
    a = ap.parse_args()
    if a.list:
        print("\n".join(n for n, _, _, _ in CASES))
        return 0
    own = None
    if a.direct:
        fd, settings = tempfile.mkstemp(suffix=".json")
        with os.fdopen(fd, "w") as f:
            json.dump({"permissions": {"deny": ["Bash(printf *)"]},
                       "env": {"CLAUDE_CODE_ENABLE_TELEMETRY": "1", "OTEL_METRICS_EXPORTER": "otlp",
                               "OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}}, f)
        own = Stub("--token", "good-token", "--gateway", settings, scenarios=scenarios)
        os.unlink(settings)
        a.base_url = a.stub_url = own.url
        a.token, a.signin = a.token or "good-token", True
        a.bedrock_url, a.vertex_url = own.url + "/bedrock", own.url + "/vertex/v1"
        a.foundry_url = own.url + "/anthropic"
    if not a.base_url or not a.token:
        ap.error("give --base-url and --token, or --direct")
    client = find_client(a.client)
    for u in ("base_url", "stub_url", "bedrock_url", "vertex_url", "foundry_url"):
        if getattr(a, u):
            setattr(a, u, getattr(a, u).rstrip("/"))
    only, skip = set(filter(None, (a.only or "").split(","))), set(a.skip.split(","))
    unknown = (only | (skip - {""})) - {n for n, _, _, _ in CASES}
    if unknown:
        ap.error("no such case: " + ", ".join(sorted(unknown)))
    passed = failed = skipped = 0
    try:
        for name, fn, timeout, needs in CASES:
            if (only and name not in only) or name in skip:
                continue
            missing = [n for n in needs if not getattr(a, n)]
            ctx = Ctx(a, client)
            ctx.timeout = timeout
            t0 = time.time()
            try:
                if missing:
                    raise Skip("needs --" + missing[0].replace("_", "-"))
                fn(ctx)
                passed += 1
                print("ok    %-24s %.1f s" % (name, time.time() - t0), flush=True)
            except Skip as e:
                skipped += 1
                print("skip  %-24s %s" % (name, e), flush=True)
            except Exception as e:
                failed += 1
                print("FAIL  %-24s %s%s" % (name, "" if isinstance(e, AssertionError) else type(e).__name__ + ": ", e),
                      flush=True)
                if a.keep:
                    print("      home %s, work %s" % (ctx.home, ctx.work))
            finally:
                ctx.close()
    finally:
        if own:
            own.stop()
    print("%d passed, %d failed%s" % (passed, failed, ", %d skipped" % skipped if skipped else ""))
    return 1 if failed or not passed else 0
