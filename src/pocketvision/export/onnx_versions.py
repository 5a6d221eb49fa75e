"""The lowest opset and IR version that hold an ONNX graph, so that old runtimes take it.

Sources: ONNX's docs/Versioning.md (which IR version a release of the operators needs) and docs/Changelog.md. ONNX Runtime 1.14
takes opset 18 and IR version 8, 1.17 opset 20 and IR version 9, and 1.18 is the first for IR version 10.
"""

from typing import Any

EXPORTED_OPSET = 18
"""What torch's exporter implements; a higher one brings nothing that our graphs need."""

_LOWEST_OPSET = 17
"""From here on no operator changed its meaning without changing its inputs or attributes, which the checker compares."""

_STANDARD = ""

# Data types that came after IR version 8, by the version that brought them.
_TYPES = {"FLOAT8": 9, "INT4": 10, "UINT4": 10, "FLOAT4": 11, "FLOAT8E8M0": 12}


def lower_versions(model: Any) -> None:
    """Set the opset and IR version of a model (an onnx.ModelProto) to the lowest that hold it, and drop imports of operator sets
    that no node uses. The graph stays as it is."""
    import onnx

    used = {_STANDARD, *(_domain(node) for each in (model.graph, *model.functions) for node in each.node)}
    imports: dict[str, int] = {}
    for each in model.opset_import:
        imports[_domain(each)] = max(each.version, imports.get(_domain(each), 0))
    _import(model, {domain: version for domain, version in imports.items() if domain in used})
    _lower_opset(model, imports)
    standard = [each for each in model.opset_import if each.domain in (_STANDARD, "ai.onnx.ml")]
    model.ir_version = max(onnx.helper.find_min_ir_version_for(standard), _ir_version_of_types(model))


def _lower_opset(model: Any, imports: dict[str, int]) -> None:
    import onnx

    (own,) = (each for each in model.opset_import if each.domain == _STANDARD)
    for version in range(min(_LOWEST_OPSET, imports[_STANDARD]), imports[_STANDARD]):
        own.version = version
        try:
            onnx.checker.check_model(model)
        except (onnx.checker.ValidationError, ValueError):  # ValueError: more than 2 GB
            continue
        return
    own.version = imports[_STANDARD]


def _import(model: Any, imports: dict[str, int]) -> None:
    import onnx

    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in imports.items())


def _domain(operator: Any) -> str:
    """Of a node or an import; the standard's has two names."""
    return _STANDARD if operator.domain == "ai.onnx" else str(operator.domain)


def _ir_version_of_types(model: Any) -> int:
    """What the types of initializers, inputs and outputs ask for."""
    import onnx

    tensors = [each.data_type for each in model.graph.initializer]
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    names = {
        onnx.TensorProto.DataType.Name(each) for each in {*tensors, *(v.type.tensor_type.elem_type for v in values)}
    }
    versions = [version for prefix, version in _TYPES.items() if any(name.startswith(prefix) for name in names)]
    return max(versions, default=3)
