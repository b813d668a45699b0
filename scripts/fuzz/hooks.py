"""What a client knows that no schema says, for scripts/fuzz-api.

Requests that are meant to be valid get what only an earlier answer can give (ids, tokens, cursors, tags), a key of
their own for each thing they ask for, amounts in whole paise, and no day of the future to look back from. Requests that
are meant to be invalid stay as they are.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import urllib.request
from decimal import Decimal, InvalidOperation

import jsonschema_rs
import schemathesis
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.transport.serialization import Binary

DIRECTORY = pathlib.Path(os.environ["FUZZ_WORKBOOKS"])
WORKBOOKS = {
    "customers": (DIRECTORY / "customer_data.xlsx").read_bytes(),
    "loans": (DIRECTORY / "loan_data.xlsx").read_bytes(),
}
# With every role.
KEY = pathlib.Path(os.environ["FUZZ_KEY_FILE"]).read_text().strip()
IDS_KEPT = 500
SAMPLED = 100

# Of the list that answered with them: path and filters.
CURSORS = {}
# Of customers and loans, by their path.
ETAGS = {}
TOKENS = []
# By the name of the field.
IDS = {}

NUMERIC_TEXT = re.compile(r"^\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*$")


def in_paise(value):
    """The value with every fraction rounded to two decimals, and none of them to nothing."""
    if isinstance(value, dict):
        return {name: in_paise(field) for name, field in value.items()}
    if isinstance(value, list):
        return [in_paise(item) for item in value]
    if isinstance(value, float):
        return max(round(value, 2), 0.01) if value > 0 else round(value, 2)
    return value


def with_known_ids(fields):
    """Two ids of three are such as have been answered, so that requests come past the first look-up."""
    if not isinstance(fields, dict):
        return
    for name, value in fields.items():
        # A whole number may be written with a fraction in JSON, and not in a path.
        if isinstance(value, float) and value.is_integer() and (name.endswith("_id") or name == "phone_number"):
            value = fields[name] = int(value)
        if isinstance(value, int) and name in IDS and value % 3:
            fields[name] = IDS[name][value % len(IDS[name])]


def keep_ids(answer):
    if isinstance(answer, dict):
        for name, value in answer.items():
            if name.endswith("_id") and isinstance(value, int):
                ids = IDS.setdefault(name, [])
                if value not in ids:
                    ids.append(value)
                    del ids[:-IDS_KEPT]
            keep_ids(value)
    elif isinstance(answer, list):
        for item in answer:
            keep_ids(item)


def keep_sample(url):
    """What there is before anything is sent."""
    for things in ("customers", "loans"):
        asked = urllib.request.Request(f"{url}/v1/{things}?limit={SAMPLED}", headers={"Authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(asked) as response:
            keep_ids(json.load(response))


def list_of(case):
    """What a cursor belongs to: a path with its filters."""
    filters = {name: value for name, value in (case.query or {}).items() if name not in ("cursor", "limit")}
    return case.formatted_path, json.dumps(filters, sort_keys=True, default=repr)


def thing_of(path):
    """The customer or loan that a path is about."""
    return "/".join(path.split("/")[:4])


def with_workbook(form):
    """A form of workbooks holds real ones, one at least."""
    for name in [name for name in WORKBOOKS if name in form] or ["customers"]:
        form[name] = Binary(WORKBOOKS[name])


def replace_or_drop(container, name, value):
    """What was made up gives way to what was answered, or goes where nothing was."""
    if container and name in container:
        if value is None:
            del container[name]
        else:
            container[name] = value


keep_sample(os.environ["FUZZ_URL"])


@schemathesis.auth()
class Bearer:
    """Every request shows the key, but for those by which the fuzzer finds out what comes of showing none."""

    def get(self, case, context):
        return KEY

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context, case, kwargs):
    for name, value in (case.headers or {}).items():
        # A number that an earlier answer held is text in a header.
        case.headers[name] = str(value)
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    # A header of this name may have been made up beside the key, in another case of letters.
    shown = [name for name in case.headers or {} if name.lower() == "authorization"]
    if shown:
        for name in shown:
            del case.headers[name]
        case.headers["Authorization"] = f"Bearer {KEY}"
    if isinstance(case.body, (dict, list)):
        case.body = in_paise(case.body)
        with_known_ids(case.body)
    with_known_ids(case.path_parameters)
    with_known_ids(case.query)
    path = case.formatted_path
    replace_or_drop(case.headers, "Consistency-Token", TOKENS[-1] if TOKENS else None)
    replace_or_drop(case.query, "cursor", CURSORS.get(list_of(case)))
    if case.headers and "If-Match" in case.headers:
        case.headers["If-Match"] = ETAGS.get(thing_of(path), '"1"')
    if (case.media_type or "").startswith("multipart/") and isinstance(case.body, dict):
        with_workbook(case.body)
    if path == "/v1/policies/backtest" and isinstance(case.body, dict):
        # One of the two, and no schema says what the text of a policy is.
        case.body.pop("policy_toml", None)
        case.body["policy"] = case.body.get("policy") or "literal-1"
    case.query = in_paise(case.query) if case.query else case.query
    today = datetime.date.today().isoformat()
    for container in (case.query, case.body):
        if isinstance(container, dict) and isinstance(container.get("as_of"), str):
            container["as_of"] = min(container["as_of"], today)
    if case.headers and "Idempotency-Key" in case.headers:
        asked = json.dumps([case.method, path, case.body], default=repr)
        case.headers["Idempotency-Key"] = hashlib.sha256(asked.encode()).hexdigest()


@schemathesis.deserializer("application/x-ndjson")
def last_line(context, response):
    """Each line is one thing; the last one is what the others lead to."""
    return [json.loads(line) for line in response.content.splitlines()][-1]


@schemathesis.hook
def after_call(context, case, response):
    path = case.formatted_path
    headers = {name.lower(): values[0] for name, values in response.headers.items()}
    if "consistency-token" in headers:
        TOKENS[:] = [headers["consistency-token"]]
    if response.status_code in (200, 201) and "etag" in headers:
        ETAGS[thing_of(path)] = headers["etag"]
    if response.status_code in (200, 201, 202) and headers.get("content-type", "").endswith("json"):
        body = response.json()
        keep_ids(body)
        if path == "/v1/imports" and response.status_code == 202:
            keep_ids({"import_id": body["id"]})
        if isinstance(body, dict) and "next_cursor" in body:
            CURSORS[list_of(case)] = body["next_cursor"]


def number_said(value):
    """The number that a text says; anything else as it is. More is taken than a pattern can say: `1e3`, `007`."""
    if not isinstance(value, str) or not NUMERIC_TEXT.match(value):
        return value
    try:
        number = Decimal(value.strip())
    except InvalidOperation:
        return value
    return int(number) if number == number.to_integral_value() else float(number)


def body_schema(case):
    """What the description says of a body of JSON."""
    document = case.operation.schema.raw_schema
    operation = document["paths"][case.operation.path][case.operation.method.lower()]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    return {**schema, "components": document["components"]}


def only_says_numbers_otherwise(case):
    """Whether nothing is wrong with a request but that numbers of its body are said in a way that no pattern covers."""
    if not isinstance(case.body, dict) or case.media_type != "application/json":
        return False
    parts = case.meta.components.items() if case.meta else ()
    if any(part != ParameterLocation.BODY and info.mode.is_negative for part, info in parts):
        return False
    said = {name: number_said(value) for name, value in case.body.items()}
    return said != case.body and jsonschema_rs.validator_for(body_schema(case)).is_valid(said)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Numbers are taken as text too, more generously than a pattern can say, and a real workbook makes any form of them
    valid. What is held for a key that was made up may be the real one, which takes its place before a request is sent.
    All else stays a failure."""
    if type(failure).__name__ == "IgnoredAuth" and failure.scenario.name == "GENERATED_AUTH":
        return response.request.headers.get("Authorization") != f"Bearer {KEY}"
    if type(failure).__name__ != "AcceptedNegativeData":
        return True
    parts = case.body.values() if isinstance(case.body, dict) else ()
    if any(isinstance(value, Binary) and value.data in WORKBOOKS.values() for value in parts):
        return False
    return not only_says_numbers_otherwise(case)
