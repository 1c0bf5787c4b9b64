#!/usr/bin/env python3
"""Sign the real coding client in to a gateway, without a browser, and talk to it.

    drive.py --client PATH/claude --gateway URL --home DIR [--user LOGIN] [--prompt TEXT ...]

Drives the interactive client in a detached tmux terminal: theme, "Cloud gateway" screen, trust prompt,
device code (approved with approve.py), account confirmation, managed-settings
approval, folder trust, then each --prompt. Prints one JSON object: the screens passed, the code, the
stored credential (tokens cut short), the answers seen and the seconds each step took.

The client takes forceLoginMethod / forceLoginGatewayUrl only from the machine's managed settings, so
the client runs in a private mount namespace whose /etc/claude-code/managed-settings.json is ours
(run as root, or as a user that may create user namespaces: then `unshare -r` is used).
--no-namespace skips that when the file is already in place (a container).

Needs: tmux, util-linux (unshare), Python 3.9+. Exit status 0 when signed in (and every prompt answered).
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
ap = argparse.ArgumentParser()
ap.add_argument("--client", required=True, help="the claude executable")
ap.add_argument("--gateway", required=True, help="gateway base URL")
ap.add_argument("--home", required=True, help="HOME of the client (kept: sign in once, use often)")
ap.add_argument("--work", help="working folder of the client (HOME/work)")
ap.add_argument("--user", default="alice", help="login at the test IdP")
ap.add_argument("--idp", default="http://127.0.0.1:8611")
ap.add_argument("--email", help="sign in with this address and a password instead")
ap.add_argument("--password-file")
ap.add_argument("--way", help="which form of the page, such as ldap:staff")
ap.add_argument("--deny", action="store_true", help="press Deny on the verification page")
ap.add_argument("--reject-trust", action="store_true", help="stop at the trust prompt")
ap.add_argument("--decline-settings", action="store_true", help="decline the managed settings")
ap.add_argument("--prompt", action="append", default=[], help="text or /command to send once ready (repeatable)")
ap.add_argument("--answer-wait", type=float, default=8.0, help="seconds to watch after each prompt")
ap.add_argument("--managed", help="JSON file merged into the machine's managed settings")
ap.add_argument("--env", action="append", default=[], help="NAME=VALUE for the client")
ap.add_argument("--client-args", default="", help="further arguments of the client")
ap.add_argument("--cafile", help="CA of the gateway (also given to the client as NODE_EXTRA_CA_CERTS)")
ap.add_argument("--timeout", type=float, default=120)
ap.add_argument("--no-namespace", action="store_true")
ap.add_argument("--keep", action="store_true", help="leave the client running (tmux socket is printed)")
ap.add_argument("-v", action="store_true", help="print every new screen to stderr")
a = ap.parse_args()

home = pathlib.Path(a.home).resolve()
work = pathlib.Path(a.work).resolve() if a.work else home / "work"
work.mkdir(parents=True, exist_ok=True)
tmp = pathlib.Path(tempfile.mkdtemp(prefix="signin-"))
managed = {"forceLoginMethod": "gateway", "forceLoginGatewayUrl": a.gateway}
if a.managed:
    managed.update(json.load(open(a.managed)))
(tmp / "managed-settings.json").write_text(json.dumps(managed))

env = {"HOME": str(home), "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
if a.cafile:
    env["NODE_EXTRA_CA_CERTS"] = str(pathlib.Path(a.cafile).resolve())
env.update(e.split("=", 1) for e in a.env)
client = ["env", "-i", *(f"{k}={v}" for k, v in env.items()), a.client, *shlex.split(a.client_args)]
start = f"cd {shlex.quote(str(work))} && exec {shlex.join(client)}"
if not a.no_namespace:
    # A private copy of /etc, so that the host's /etc/claude-code is neither seen nor touched.
    ns = (f"set -e; E={shlex.quote(str(tmp))}/etc; mkdir $E; cp -a /etc/. $E/ 2>/dev/null || true; "
          f"rm -rf $E/claude-code; mkdir $E/claude-code; cp {shlex.quote(str(tmp))}/managed-settings.json $E/claude-code/; "
          f"mount --bind $E /etc; {start}")
    start = shlex.join(["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-m", "--propagation", "private", "sh", "-c", ns])
(tmp / "start.sh").write_text(start + "\n")

sock = str(tmp / "tmux.sock")


def tmux(*args):
    return subprocess.run(["tmux", "-S", sock, *args], capture_output=True, text=True)


def screen():
    r = tmux("capture-pane", "-p")
    if r.returncode != 0:
        return None
    return "\n".join(line.rstrip() for line in r.stdout.splitlines() if line.strip())


def keys(*k):
    for one in k:
        tmux("send-keys", one)
        time.sleep(0.4)


def choose(pattern):
    """Move the highlighted row to the one that matches, then press Enter."""
    for _ in range(8):
        s = screen() or ""
        if re.search(r"❯\s*(?:\d\.\s*)?" + pattern, s):
            return keys("Enter")
        rows = [line for line in s.splitlines() if re.search(pattern, line) or "❯" in line]
        up = rows and re.search(pattern, rows[0]) and "❯" not in rows[0]
        keys("Up" if up else "Down")
    raise RuntimeError(f"cannot choose {pattern!r}:\n{screen()}")


t0 = time.time()
out = {"gateway": a.gateway, "user": a.user, "steps": [], "signed_in": False, "answers": []}


def step(name):
    out["steps"].append([name, round(time.time() - t0, 1)])


def finish(rc, why=None):
    if why:
        out["stopped"] = why
        out["last_screen"] = screen()
    cred = home / ".claude" / ".credentials.json"
    if cred.exists():
        c = json.loads(cred.read_text())
        cut = lambda v: v[:12] + "…" if isinstance(v, str) and len(v) > 40 else v
        out["stored"] = {k: ({i: cut(j) for i, j in v.items()} if isinstance(v, dict) else v) for k, v in c.items()}
        out["signed_in"] = out["signed_in"] or "enterpriseGateway" in c
    if a.keep:
        out["tmux_socket"] = sock
    else:
        tmux("kill-server")
        time.sleep(0.3)
        shutil.rmtree(tmp, ignore_errors=True)
    print(json.dumps(out, ensure_ascii=False, indent=1))
    sys.exit(rc)


tmux("-f", "/dev/null", "new-session", "-d", "-x", "140", "-y", "55", "sh", str(tmp / "start.sh"))
seen, approved, last, approval_at = set(), False, None, 0.0
while time.time() - t0 < a.timeout:
    time.sleep(0.5)
    s = screen()
    if s is None:
        finish(1, "the client has ended")
    if a.v and s != last:
        print(f"--- {time.time() - t0:.1f}\n{s}", file=sys.stderr)
    last = s
    if "Choose the text style" in s and "theme" not in seen:
        seen.add("theme"); step("theme"); keys("Enter")
    elif "Enter to connect" in s and "connect" not in seen:
        seen.add("connect"); step("cloud gateway screen"); keys("Enter")
    elif "Trust gateway" in s or "Yes, trust this gateway" in s:
        if a.reject_trust:
            step("trust prompt"); finish(0, "trust prompt shown, not accepted")
        step("trust prompt"); out["fingerprint"] = (re.search(r"\(SHA-256\):\s*(\S+)", s) or [None, None])[1]
        choose("Yes, trust this gateway")
    elif (m := re.search(r"Code:\s*([A-Z0-9-]{6,})", s)) and not approved:
        approved = True
        out["user_code"] = m[1]
        step("device code")
        urls = re.findall(r"https?://\S+", s)
        page = next((u for u in urls if u.startswith(a.gateway.split("/device")[0])), urls[0] if urls else a.gateway + "/device")
        if "user_code=" not in page:
            page += ("&" if "?" in page else "?") + "user_code=" + urllib.parse.quote(m[1])
        cmd = [sys.executable, str(HERE / "approve.py"), page]
        cmd += ["--email", a.email, "--password-file", a.password_file] if a.email else ["--user", a.user, "--idp", a.idp]
        cmd += ["--way", a.way] if a.way else []
        cmd += ["--deny"] if a.deny else []
        r = subprocess.run(cmd, capture_output=True, text=True)
        out["approve"] = (r.stdout + r.stderr).strip()
        step("approved" if r.returncode == 0 else "approval failed")
    elif "Yes, continue" in s and "only if this is your account" in s:
        step("account confirmation"); choose("Yes, continue")
    elif re.search(r"Connected to Cloud gateway|Login successful", s) and "connected" not in seen:
        seen.add("connected"); out["signed_in"] = True; step("connected"); keys("Enter")
    elif "Security notes" in s and "notes" not in seen:
        seen.add("notes"); step("security notes"); keys("Enter")
    elif "Managed settings require approval" in s:
        if s == out.get("approval_screen") and time.time() - approval_at < 3:
            continue
        approval_at = time.time()
        step("settings approval"); out["approval_screen"] = s
        if a.decline_settings:
            choose("No, exit"); time.sleep(2); finish(0, "declined the managed settings")
        choose("Yes, I trust these settings"); time.sleep(1)
    elif "Accessing workspace" in s and "Yes, I trust this folder" in s:
        step("folder trust"); choose("Yes, I trust this folder")
    elif re.search(r"Sign-in (was denied|timed out)|couldn't load your organization|not completed|Esc to (go back|retry)", s) and "Code:" not in s:
        step("error"); finish(1, "an error screen")
    elif re.search(r"(?m)^❯\s*$", s) and re.search(r"shift\+tab|\? for shortcuts|for agents", s):
        if ("run /login" in s or not (home / ".claude" / ".credentials.json").exists()) and "login" not in seen:
            # Set up earlier, but signed out since: the first-run screens do not come again.
            seen.add("login"); seen.discard("connect"); seen.discard("connected"); step("/login")
            tmux("send-keys", "-l", "/login"); time.sleep(1); keys("Enter"); time.sleep(1)
            continue
        out["signed_in"] = True
        step("ready"); break
else:
    finish(1, "timed out")

for text in a.prompt:
    tmux("send-keys", "-l", text); time.sleep(1); keys("Enter")
    end = time.time() + a.answer_wait
    s = ""
    while time.time() < end:
        time.sleep(0.5)
        s = screen() or s
    out["answers"].append({"prompt": text, "screen": s})
    step(f"prompt {text[:30]}")
    if text.startswith("/"):
        keys("Escape"); time.sleep(0.5)
finish(0)
