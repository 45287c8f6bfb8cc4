"""GPU mostly idle: it waits for the processor to hand it work, and most of the time is lost."""

from __future__ import annotations

from actbench.diagnosis import remedies
from actbench.diagnosis.evidence import finite, mean, percent
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.records import Finding

BUSY = 0.5  # share of the time at work under which it is "mostly idle"


RULE = Rule(
    code="idle-gpu",
    rank=100,
    summary="The GPU is mostly idle.",
    what="A CUDA device was at work for less than half of the time after the first epoch, by its driver's figure.",
    why="It waits for the processor to hand it the next step, and most of the time is lost.",
    example="actbench dataset=digits train.device=cuda train.engine=eager num_seeds=1 train.epochs=5",
    remedy="train.engine=graph, twice the seeds in one run, four times the batch.",
)


def find(run: RunHistory) -> Finding | None:
    """The mean of `Epoch.busy`, on CUDA alone, without the first epoch, which waits for compilers and recordings."""
    busy = finite(epoch.busy for epoch in run.trained[1:])
    if run.device.partition(":")[0] != "cuda" or not busy or mean(busy) >= BUSY:
        return None
    settings = run.settings
    engine = ("train.engine=graph",) if settings.train.engine == "eager" else ()
    return Finding(
        symptom="GPU mostly idle",
        evidence=f"at work for {percent(mean(busy))} of the time in epochs {run.trained[1].number}–"
        f"{run.trained[-1].number} (batches of {settings.train.batch_size}, {settings.num_seeds} in the stack)",
        cause="Each step is too small a piece of work for the device, which waits for the next one.",
        remedies=remedies.all_of(
            engine,
            (f"num_seeds={2 * settings.num_seeds}",),
            (f"train.batch_size={4 * settings.train.batch_size}",),
        ),
    )
