"""A user agent by Python's standard library alone: every transaction with urllib, then again on one
kept-alive connection of http.client, then with a body and an answer in gzip. Prints one line of JSON.

client.py BASE_URI UID_1 UID_2 UID_3 BODY
"""
import gzip
import http.client
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

base = sys.argv[1].rstrip("/")
first, second, third, body = sys.argv[2:]
steps, performed = "/modality-scheduled-procedure-steps", "/modality-performed-procedure-steps/"
accept = {"Accept": "application/dicom+json"}
typed = {**accept, "Content-Type": "application/dicom+json"}
updated = json.dumps({"00400252": {"vr": "CS", "Value": ["COMPLETED"]}})


def by_urllib(method, target, headers, data=None):
    data = data.encode() if isinstance(data, str) else data
    request = urllib.request.Request(base + target, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return report(answer, answer.status, answer.read())
    except urllib.error.HTTPError as error:
        return report(error, error.code, error.read())


def report(answer, status, content):
    coding = answer.headers.get("Content-Encoding")
    if coding == "gzip":
        content = gzip.decompress(content)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return {"status": status, "headers": headers, "body": content.decode("utf-8")}


def transactions(uid):
    return [
        ("search", "GET", steps + "?" + urllib.parse.urlencode({"PatientName": "VIVALDI*"}), accept, None),
        ("create", "POST", performed + uid, typed, body),
        ("update", "POST", performed + uid + "?update", typed, updated),
        ("retrieve", "GET", performed + uid, accept, None),
        ("capabilities", "OPTIONS", "/", {"Accept": "application/vnd.sun.wadl+xml"}, None),
        ("unknown", "GET", performed + "1.2.3.4", accept, None),
    ]


def kept_alive(uid):
    where = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    reports, ports = {}, set()
    for name, method, target, headers, data in transactions(uid):
        connection.request(method, where.path + target, data and data.encode(), headers)
        ports.add(connection.sock.getsockname()[1])
        answer = connection.getresponse()
        reports[name] = report(answer, answer.status, answer.read())
    connection.close()
    return reports, len(ports)


reports, connections = kept_alive(second)
print(json.dumps({
    "urllib": {name: by_urllib(method, target, headers, data)
               for name, method, target, headers, data in transactions(first)},
    "kept_alive": reports,
    "connections": connections,
    "gzip_body": by_urllib("POST", performed + third, {**typed, "Content-Encoding": "gzip"}, gzip.compress(body.encode())),
    "gzip": by_urllib("GET", steps, {**accept, "Accept-Encoding": "gzip"}),
    "identity": by_urllib("GET", steps, {**accept, "Accept-Encoding": "identity"}),
}))
