#!/usr/bin/env python3
"""Approve a device code as a person with a browser would.

    approve.py PAGE [--user LOGIN | --email ADDRESS --password-file FILE [--way WAY]] [--deny] [-v]

PAGE is what the client shows: .../device?user_code=ABCD-EFGH. Loads it, fills in the form of the wanted way (an identity
provider, or address and password), sends it, and follows every redirect with one cookie jar; --deny presses the other
button. The test provider signs in by itself; --user names who, by its cookie. Prints the last page. Exit status 0 when that
answers 200. Python 3.9+, standard library only.
"""
import argparse
import html
import http.cookiejar
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

ap = argparse.ArgumentParser()
ap.add_argument("page")
ap.add_argument("--user")
ap.add_argument("--idp", default="http://127.0.0.1:8611", help="origin that gets the cookie idp_user")
ap.add_argument("--email")
ap.add_argument("--password-file")
ap.add_argument("--verbatim", action="store_true", help="send the password as the file has it, white space and all")
ap.add_argument("--way", help="which form of the page, such as ldap:staff")
ap.add_argument("--deny", action="store_true")
ap.add_argument("-v", action="store_true")
a = ap.parse_args()

jar = http.cookiejar.CookieJar()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


opener = urllib.request.build_opener(NoRedirect, urllib.request.HTTPCookieProcessor(jar), urllib.request.ProxyHandler({}))


def send(url, data=None, headers=None):
    if a.user and url.startswith(a.idp):
        host = urllib.parse.urlparse(url).hostname
        jar.set_cookie(http.cookiejar.Cookie(0, "idp_user", a.user, None, False, host, False, False, "/", True, False,
                                             None, True, None, None, {}))
    request = urllib.request.Request(url, data=data, headers={"Accept": "text/html", **(headers or {})})
    try:
        reply = opener.open(request, timeout=20)
    except urllib.error.HTTPError as e:
        reply = e
    if a.v:
        print(f"{'GET' if data is None else 'POST'} {url.split('?')[0]} -> {reply.status}", file=sys.stderr)
    return url, reply.status, reply.headers, reply.read().decode("utf8", "replace")


def follow(url, status, headers, body):
    for _ in range(20):
        if status not in (301, 302, 303, 307, 308):
            break
        url, status, headers, body = send(urllib.parse.urljoin(url, headers["location"]))
    return url, status, body


def forms(page):
    for attributes, inside in re.findall(r"<form\b([^>]*)>(.*?)</form>", page, re.S):
        action = html.unescape(re.search(r'action="([^"]*)"', attributes)[1])
        fields = {}
        for tag in re.findall(r"<input\b[^>]*>", inside):
            name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
            fields[name[1]] = html.unescape(value[1]) if value else ""
        yield action, fields


url, status, page = follow(*send(a.page))
wanted = a.way or ("local" if a.email else "oidc:")
found = next((f for f in forms(page) if f[1].get("way", "").startswith(wanted)), None)
deny = next((f for f in forms(page) if f[0].endswith("/device/deny")), None)
if not found:
    sys.exit(f"no form for {wanted} at {url} (status {status}): {page[:500]}")
if a.deny and not deny:
    sys.exit(f"nothing can be denied at {url}: {page[:500]}")
action, fields = deny if a.deny else found
if a.email and not a.deny:
    fields["email"] = a.email
    password = open(a.password_file, newline="").read()
    fields["password"] = password if a.verbatim else password.strip()
place = urllib.parse.urlparse(url)
same_origin = {"Origin": f"{place.scheme}://{place.netloc}", "Sec-Fetch-Site": "same-origin"}
target = urllib.parse.urljoin(url, action)
url, status, page = follow(*send(target, urllib.parse.urlencode(fields).encode(), same_origin))
text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<style.*?</style>|<title.*?</title>", " ", page))))
print(status, url.split("?")[0], text.strip()[:300])
sys.exit(0 if status == 200 else 1)
