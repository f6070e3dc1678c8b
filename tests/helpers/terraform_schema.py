"""Writes the schema of Terraform's provider of Google Cloud, for infra/terraform, out of Python's bindings for it.

    pip download --no-deps cdktn-provider-google==21.1.0
    PYTHONPATH=tests/helpers .venv/bin/python -m terraform_schema cdktn_provider_google-*.whl

The bindings are generated from the provider's own schema. They say of each attribute whether it is computed, optional
or required, what type it has, and how blocks nest. The file has the format of `terraform providers schema -json`, for
one provider, and only the resources and data sources that are used.
"""

import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGURATION = REPOSITORY / "infra" / "terraform"
SCHEMA = REPOSITORY / "tests" / "infra" / "google_provider.json"

Block = dict[str, Any]

# An attribute or block of a generated class: the comment with its flags, then the code of its getters.
_FIELD = re.compile(
    r"^ {4}// (?P<name>\w+) - computed: (?P<computed>true|false), optional: (?P<optional>true|false), "
    r"required: (?P<required>true|false)\n(?P<code>(?: {4}.*\n)+?)(?= {4}// |\s*// =====|\})",
    re.MULTILINE,
)
# An entry of the function that writes a class as HCL: only what can be set has one.
_HCL_ENTRY = re.compile(
    r"^ {8,12}(\w+): \{\n\s+value: (?:.*),\n\s+isBlock: (true|false),\n\s+type: \"(\w+)\",\n"
    r"\s+storageClassType: \"(\w+)\",",
    re.MULTILINE,
)
_NESTED = re.compile(r'= new (\w+?)(List|MapList|Map|OutputReference)\(this, "\w+"(?:, (true|false))?\)')
_GETTER = re.compile(r"this\.get(\w*?)(List|Map|)Attribute\(")
_MAP = re.compile(r"new cdktn\.(String|Number|Boolean)Map\(")
_SYNTHESIZE = re.compile(r"synthesizeHclAttributes\(\) \{.*?\n    \}", re.DOTALL)
_PROVIDER_VERSION = re.compile(r"providerVersion: '([\d.]+)'")
_SIMPLE = {"String": "string", "Number": "number", "Boolean": "bool", "": "string"}
_SIMPLE |= {"string": "string", "number": "number", "boolean": "bool"}


class Bindings:
    """The generated file of one resource, one data source or the provider.

    Attributes:
        javascript: The text of the file.
    """

    def __init__(self, javascript: str) -> None:
        self.javascript = javascript

    def resource(self, class_name: str) -> Block:
        """Returns the block of a resource or a data source."""
        body = self._class(rf"class {class_name} extends cdktn\.Terraform(?:Resource|DataSource)")
        return self._block(body, _hcl_entries(_SYNTHESIZE.search(body)))

    def provider(self) -> Block:
        """Returns the block of the provider. Its class has no getters that name types, as nothing of it is computed."""
        body = self._class(r"class GoogleProvider extends cdktn\.TerraformProvider")
        entries = _hcl_entries(_SYNTHESIZE.search(body))
        attributes = {
            name: {"type": _hcl_type(kind, storage), "optional": True}
            for name, (is_block, kind, storage) in entries.items()
            if not is_block and name != "alias"
        }
        return {"attributes": attributes}

    def provider_version(self) -> str:
        """Returns the release of the provider that the bindings were generated from."""
        match = _PROVIDER_VERSION.search(self.javascript)
        if match is None:
            raise LookupError("the bindings do not name the version of the provider")
        return match[1]

    def _class(self, start: str) -> str:
        match = re.search(rf"^{start} \{{\n.*?^\}}\n", self.javascript, re.MULTILINE | re.DOTALL)
        if match is None:
            raise LookupError(f"the bindings have no {start}")
        return match[0]

    def _block(self, body: str, entries: Mapping[str, tuple[bool, str, str]]) -> Block:
        block: Block = {"attributes": {}, "block_types": {}}
        for match in _FIELD.finditer(body):
            name, code = match["name"], match["code"]
            flags = {flag: True for flag in ("computed", "optional", "required") if match[flag] == "true"}
            is_block, kind, storage = entries.get(name, (False, "", ""))
            if nested := _NESTED.search(code):
                class_name, container, is_set = nested[1], nested[2], nested[3] == "true" or kind == "set"
                inner = self._nested(class_name)
                mode = "single" if kind == "struct" else "set" if is_set else "list"
                if is_block:
                    block["block_types"][name] = {
                        "nesting_mode": mode,
                        "block": inner,
                        **({"min_items": 1} if "required" in flags else {}),
                        **({"max_items": 1} if container == "OutputReference" and mode != "single" else {}),
                    }
                else:  # filled in by the provider alone
                    block["attributes"][name] = {"type": ["set" if is_set else "list", _object_type(inner)], **flags}
            else:
                kind_type = _hcl_type(kind, storage) if kind else _getter_type(code)
                block["attributes"][name] = {"type": kind_type, **flags}
        return {key: value for key, value in block.items() if value}

    def _nested(self, class_name: str) -> Block:
        function = f"{class_name[0].lower()}{class_name[1:]}ToHclTerraform"
        written = re.search(rf"^function {function}\(.*?^\}}", self.javascript, re.MULTILINE | re.DOTALL)
        body = self._class(rf"class {class_name}OutputReference extends cdktn\.ComplexObject")
        return self._block(body, _hcl_entries(written))


def _hcl_entries(written: re.Match[str] | None) -> dict[str, tuple[bool, str, str]]:
    if written is None:
        return {}
    return {name: (block == "true", kind, storage) for name, block, kind, storage in _HCL_ENTRY.findall(written[0])}


def _hcl_type(kind: str, storage: str) -> Any:
    if kind == "simple":
        return _SIMPLE[storage]
    return [kind, _SIMPLE.get(re.sub(r"(List|Map|Set)$", "", storage), "string")]


def _getter_type(code: str) -> Any:
    if mapped := _MAP.search(code):
        return ["map", _SIMPLE[mapped[1]]]
    getter = _GETTER.search(code)
    if getter is None:
        raise LookupError(f"no type in {code}")
    if not getter[2]:
        return _SIMPLE[getter[1]]
    return ["map" if getter[2] == "Map" else "set" if "Fn.tolist" in code else "list", _SIMPLE[getter[1]]]


def _object_type(block: Block) -> Any:
    types = {name: attribute["type"] for name, attribute in block.get("attributes", {}).items()}
    for name, nested in block.get("block_types", {}).items():
        inner = _object_type(nested["block"])
        types[name] = inner if nested["nesting_mode"] == "single" else [nested["nesting_mode"], inner]
    return ["object", types]


def used_types() -> list[tuple[str, str]]:
    """Returns each ("resource" or "data", type) in infra/terraform, sorted."""
    used = re.compile(r'^(resource|data) "(google_\w+)"', re.MULTILINE)
    return sorted({found for path in CONFIGURATION.glob("*.tf") for found in used.findall(path.read_text("utf-8"))})


def _read_bindings(wheel: str, folders: set[str]) -> Iterator[tuple[str, Bindings]]:
    with zipfile.ZipFile(wheel) as archive:
        [package] = [name for name in archive.namelist() if name.endswith(".jsii.tgz")]
        content = io.BytesIO(archive.read(package))
    with tarfile.open(fileobj=content, mode="r|gz") as files:
        for member in files:
            folder = member.name.removeprefix("package/lib/").removesuffix("/index.js")
            if folder in folders and (file := files.extractfile(member)):
                yield folder, Bindings(file.read().decode())


def extract(wheel: str, types: list[tuple[str, str]]) -> dict[str, Any]:
    """Returns the version of the provider, and the schemas of the provider, its resources and its data sources.

    Args:
        wheel: The path of a wheel of cdktn-provider-google.
        types: The resources and data sources, as `used_types` gives them.

    Raises:
        LookupError: The wheel lacks one of the types, or has another form than that of version 21.
    """
    folders = {
        ("data-google-" if kind == "data" else "") + name.removeprefix("google_").replace("_", "-"): (kind, name)
        for kind, name in types
    }
    schema: dict[str, Any] = {"resource_schemas": {}, "data_source_schemas": {}}
    found = set()
    for folder, bindings in _read_bindings(wheel, {*folders, "provider"}):
        found.add(folder)
        if folder == "provider":
            schema |= {"version": bindings.provider_version(), "provider": {"block": bindings.provider()}}
        else:
            kind, name = folders[folder]
            block = bindings.resource("".join(map(str.capitalize, folder.split("-"))))
            schema["data_source_schemas" if kind == "data" else "resource_schemas"][name] = {"block": block}
    if missing := {*folders, "provider"} - found:
        raise LookupError(f"the bindings have no {', '.join(sorted(missing))}")
    return schema


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(extract(sys.argv[1], used_types()), indent=1, sort_keys=True) + "\n", encoding="utf-8")
