"""Three tiny trials of which one cannot finish; for tests of sweeps."""

from efdet_jax.sweep.trials import Trial

STEPS = {"steps": 4, "checkpoint.every": 2, "data.shapes.num_val": 8}


def trial(name: str, **overrides: object) -> Trial:
    return Trial(
        name=name,
        config="tests/tiny.py",
        overrides={**STEPS, **overrides},
        family="tiny",
        point=name,
    )


def get_trials(width: str = "8") -> list[Trial]:
    return [
        trial("narrow", **{"model.neck.width": int(width)}),
        trial(
            "diverging",
            **{
                "optimizer.name": "sgd",
                "optimizer.learning_rate": 1e30,
                "optimizer.clip_norm": 1e30,
                "max_skipped": 1,
            },
        ),
        trial("again", seed=1),
    ]
