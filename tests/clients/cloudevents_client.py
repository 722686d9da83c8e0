"""The official CloudEvents package against the operators' interface of a running Tallygate: what it writes is taken, what
it refuses is refused, and what is stored is an event to it.

The cases are listed and run by `cases`. Reads TALLYGATE_ADMIN_URL, TALLYGATE_TOKEN (sends events and nothing else),
TALLYGATE_READER (reads) and TALLYGATE_TENANT (the id of the tenant `acme`).
"""

import json
import os
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from cases import case, check, run

URL = os.environ["TALLYGATE_ADMIN_URL"]
TOKEN = os.environ["TALLYGATE_TOKEN"]
READER = os.environ["TALLYGATE_READER"]
TENANT = os.environ["TALLYGATE_TENANT"]

JSON = JSONFormat()
SENT = {}


def ask(path, body=None, headers=None, token=TOKEN):
    """Sends any bytes; gives status and parsed answer."""
    headers = {"authorization": f"Bearer {token}"} | (headers or {})
    request = urllib.request.Request(f"{URL}{path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def event(identifier, **changes):
    attributes = {
        "id": identifier,
        "source": "/clusters/eu-1",
        "type": "job",
        "subject": "acme",
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "time": datetime.now(timezone.utc).replace(microsecond=0),
    }
    data = changes.pop("data", {"gpu": {"seconds": 1.25}})
    return CloudEvent(attributes | changes, data)


def take(message):
    """What is answered to an event as the package writes it."""
    status, answer = ask("/usage-events", message.body, dict(message.headers))
    return status, answer


def taken(message):
    status, answer = take(message)
    check(status == 200, f"{status}: {answer}")
    return answer["events"][0]


@case
def an_event_in_its_json_form():
    made = event("structured")
    stored = taken(to_structured(made, JSON))
    SENT["structured"] = made
    check(stored["quantities"] == [{"meter": "gpu_seconds", "quantity": "1.25", "unit": "s"}], stored)
    check((stored["id"], stored["source"], stored["sequence"]) == ("structured", "/clusters/eu-1", 1), stored)


@case
def an_event_in_headers():
    # Extensions, and what has to be encoded in a header.
    made = event("binary %41", region="Zürich, \"north\" 50%", subject="acme")
    message = to_binary(made, JSON)
    check("ce-region" in message.headers and "%" in message.headers["ce-region"], message.headers)
    stored = taken(message)
    SENT["binary %41"] = made
    check(stored["id"] == "binary %41", stored)


@case
def a_batch():
    batch = [event(f"batch-{number}", data={"gpu": {"seconds": number}}) for number in range(3)]
    body = b"[" + b",".join(JSON.write(made) for made in batch) + b"]"
    headers = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}
    status, answer = ask("/usage-events", body, headers)
    check(status == 200, answer)
    SENT.update({made.get_id(): made for made in batch})
    quantities = [stored["quantities"][0]["quantity"] for stored in answer["events"]]
    check(quantities == ["0", "1", "2"], answer)


@case
def the_same_event_in_another_form_is_the_same():
    for made in list(SENT.values()):
        first = taken(to_structured(made, JSON))
        check(taken(to_binary(made, JSON)) == first, made)
        check(taken(to_structured(made, JSON)) == first, made)


@case
def an_id_is_used_once():
    made = SENT["structured"]
    other = CloudEvent(made.get_attributes(), {"gpu": {"seconds": 1.26}})
    for message in [to_structured(other, JSON), to_binary(other, JSON)]:
        status, answer = take(message)
        check(status == 409 and answer["error"]["code"] == "event_conflict", answer)
        check(answer["error"]["param"] == "data.gpu.seconds", answer)


@case
def what_the_package_refuses_is_refused():
    good = {"specversion": "1.0", "id": "x", "source": "/s", "type": "job", "subject": "acme"}
    changes = [
        {"id": None}, {"id": ""}, {"source": None}, {"source": ""}, {"type": None}, {"type": ""}, {"subject": ""},
        {"specversion": None}, {"specversion": "2.0"}, {"time": "yesterday"}, {"Region": "eu"},
    ]  # fmt: skip
    for change in changes:
        attributes = {name: value for name, value in (good | change).items() if value is not None}
        text = json.dumps(attributes | {"data": {"gpu": {"seconds": 1}}}).encode()
        try:
            read = JSON.read(None, text)
            refuses = read.get_attributes() != attributes
        except (CloudEventValidationError, ValueError):
            refuses = True
        check(refuses, f"the package takes {change}")
        status, answer = ask("/usage-events", text, {"content-type": "application/cloudevents+json"})
        check(status == 400 and answer["error"]["code"] == "invalid_event", f"{change}: {status} {answer}")
        check(answer["error"]["param"] == next(iter(change)), f"{change}: {answer}")


@case
def what_is_stored_is_an_event():
    status, answer = ask(f"/tenants/{TENANT}/usage-events", token=READER)
    check(status == 200 and len(answer["data"]) == len(SENT), answer)
    for line in answer["data"]:
        read = JSON.read(CloudEvent, json.dumps(line["event"]))
        sent = SENT[read.get_id()]
        names = ["source", "type", "subject", "time", "region"]
        left, right = read.get_attributes(), sent.get_attributes()
        check([left.get(name) for name in names] == [right.get(name) for name in names], line)
        check(read.get_data() == sent.get_data(), line)


@case
def what_came_to_is_summed():
    span = datetime.now(timezone.utc) + timedelta(days=1)
    query = f"?from=2020-01-01T00:00:00Z&to={span.strftime('%Y-%m-%dT%H:%M:%SZ')}"
    status, answer = ask(f"/tenants/{TENANT}/meters{query}", token=READER)
    check(status == 200, answer)
    found = [(row["meter"], row["events"], row["quantity"], row["unit"]) for row in answer["data"]]
    check(found == [("gpu_seconds", 5, "5.5", "s")], answer)


@case
def a_token_of_events_opens_nothing_else():
    for path in ["/tenants", f"/tenants/{TENANT}/usage-events", "/usage-events"]:
        status, answer = ask(path)
        check(status == 403 and answer["error"]["code"] == "operator_events_only", f"{path}: {answer}")
    status, answer = ask("/usage-events", b"{}", {"content-type": "application/cloudevents+json"}, READER)
    check(status == 403 and answer["error"]["code"] == "operator_read_only", answer)


run()
