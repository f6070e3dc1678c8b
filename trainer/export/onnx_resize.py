"""Corrects the sizes of resized images in ONNX files that tf2onnx has written."""

import numpy as np
import onnx


def state_sizes(path: str) -> None:
    """Replaces the scales of images in an ONNX file by the sizes that they have afterwards.

    tf2onnx 1.17 states how an image is scaled as a float32: of 94 rows that become 64, 0.68085104 of 94 is rounded down
    to 63.

    Args:
        path: The file, whose images have known sizes. It is written again where it has scales.
    """
    model = onnx.load(path)
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    scaled = [node for node in model.graph.node if node.op_type == "Resize" and len(node.input) == 3]
    for number, node in enumerate(scaled):
        shape, scales = shapes[node.input[0]], constants[node.input[2]]
        axes = [axis for axis, scale in enumerate(scales) if scale != 1]
        sizes = np.array([round(shape[axis] * float(scales[axis])) for axis in axes], np.int64)
        model.graph.initializer.append(onnx.numpy_helper.from_array(sizes, f"sizes_{number}"))
        node.input[:] = [node.input[0], "", "", f"sizes_{number}"]
        node.attribute.append(onnx.helper.make_attribute("axes", axes))
    if scaled:
        used = {name for node in model.graph.node for name in node.input}
        kept = [one for one in model.graph.initializer if one.name in used]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        onnx.save(model, path)
