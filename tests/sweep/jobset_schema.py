"""The fields of a JobSet that trials use, and their types, written from its API.

`jobset.x-k8s.io/v1alpha2` as in jobset_types.go of kubernetes-sigs/jobset at 08dfbdfd;
inside it `batch/v1` Job and `core/v1` Pod. A list has the type of its
elements; a set has the values there are.
"""

TEXTS = dict[str, str]

_POD = {
    "restartPolicy": {"Never"},  # With a podFailurePolicy no other is allowed.
    "terminationGracePeriodSeconds": int,
    "serviceAccountName": str,
    "nodeSelector": TEXTS,
    "containers": [
        {
            "name": str,
            "image": str,
            "command": [str],
            "resources": {"requests": TEXTS, "limits": TEXTS},
            "volumeMounts": [{"name": str, "mountPath": str}],
        }
    ],
    "volumes": [
        {"name": str, "csi": {"driver": str, "volumeAttributes": TEXTS}},
    ],
}

_JOB = {
    "parallelism": int,
    "completions": int,
    "backoffLimit": int,
    "activeDeadlineSeconds": int,
    "podFailurePolicy": {
        "rules": [
            {
                "action": {"FailJob", "FailIndex", "Ignore", "Count"},
                "onExitCodes": {
                    "containerName": str,
                    "operator": {"In", "NotIn"},
                    "values": [int],
                },
                "onPodConditions": [
                    {"type": {"DisruptionTarget"}, "status": {"True"}},
                ],
            }
        ]
    },
    "template": {"metadata": {"annotations": TEXTS}, "spec": _POD},
}

JOBSET = {
    "apiVersion": {"jobset.x-k8s.io/v1alpha2"},
    "kind": {"JobSet"},
    "metadata": {"name": str, "labels": TEXTS, "annotations": TEXTS},
    "spec": {
        "failurePolicy": {
            "rules": [
                {
                    "name": str,
                    "action": {"FailJobSet", "RestartJobSetAndIgnoreMaxRestarts"},
                    "onJobFailureReasons": [
                        {
                            "BackoffLimitExceeded",
                            "DeadlineExceeded",
                            "FailedIndexes",
                            "MaxFailedIndexesExceeded",
                            "PodFailurePolicy",
                        }
                    ],
                }
            ]
        },
        "replicatedJobs": [{"name": str, "replicas": int, "template": {"spec": _JOB}}],
    },
}


def check(value, schema, place="jobset"):
    """Asserts that a value has only fields that a schema has, and of their types."""
    if schema is TEXTS:
        schema = dict.fromkeys(value, str)
    if isinstance(schema, dict):
        assert value.keys() <= schema.keys(), place
        for key, field in value.items():
            check(field, schema[key], f"{place}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), place
        for i, element in enumerate(value):
            check(element, schema[0], f"{place}[{i}]")
    elif isinstance(schema, set):
        assert value in schema, place
    else:
        assert type(value) is schema, place
