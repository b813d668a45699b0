"""Holds a description (OpenAPI 3.1) against the specification of such, and its examples against their schemas.

Usage: check_description.py FILE. Says what is wrong, line by line, and then ends with status 1.
"""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

HERE = "urn:description"


def media_types(node, place=""):
    """Each media type of a body, with the place where it stands."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "content" and isinstance(value, dict):
                for media_type, media in value.items():
                    yield f"{place} {media_type}", media
            yield from media_types(value, f"{place}/{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from media_types(value, f"{place}/{index}")


def absolute(node):
    """The same with references that say in which document."""
    if isinstance(node, dict):
        return {
            name: HERE + value if name == "$ref" and isinstance(value, str) else absolute(value)
            for name, value in node.items()
        }
    return [absolute(value) for value in node] if isinstance(node, list) else node


def examples(document):
    """Each example with its schema and its place."""
    for place, media in media_types(document["paths"]):
        if "schema" in media:
            if "example" in media:
                yield place, media["schema"], media["example"]
            for name, example in media.get("examples", {}).items():
                yield f"{place} {name}", media["schema"], example["value"]
    components = document["components"]
    for name, schema in components["schemas"].items():
        for example in schema.get("examples", []):
            yield name, schema, example
    for kind in ("parameters", "headers"):
        for name, described in components.get(kind, {}).items():
            if "example" in described:
                yield f"{kind}/{name}", described["schema"], described["example"]


def main(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    errors = OpenAPIV31SpecValidator(document).iter_errors()
    wrong = [f"{'/'.join(map(str, error.path))}: {error.message}" for error in errors]
    resource = Resource.from_contents(document, default_specification=DRAFT202012)
    registry = Registry().with_resource(HERE, resource)
    looked_at = 0
    for place, schema, example in examples(document):
        looked_at += 1
        for error in Draft202012Validator(absolute(schema), registry=registry).iter_errors(example):
            wrong.append(f"{place}: {error.json_path}: {error.message}")
    for line in wrong:
        print(f"fuzz: {line}", file=sys.stderr)
    print(f"fuzz: the description is {'not ' if wrong else ''}valid, {looked_at} examples looked at", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
