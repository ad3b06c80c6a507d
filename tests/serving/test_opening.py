from efdet_jax.serving.opening import names


def test_detectors_are_called_by_what_tells_them_apart():
    assert names(["runs/own_data", "lite0.tflite"]) == ["own_data", "lite0"]
    assert names(["a/best", "b/best", "c/d0.h5"]) == ["a/best", "b/best", "d0"]
