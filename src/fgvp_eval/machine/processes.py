"""The processes of one run: who this one is, what it has to do, and how they agree.

``torchrun`` starts the processes and tells each its place in environment variables. Only small
messages pass between them, through gloo on the CPU: results travel through the run folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from fgvp_eval.errors import ProcessError, UsageError

_Message = TypeVar("_Message")

# A process may wait for the slowest one for as long as a large model needs; one that ends is
# noticed at once, since its connection closes.
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Processes:
    """This process among all processes of the run.

    Attributes:
        rank: Number of this process, 0 to world - 1; process 0 writes and prints the results.
        world: How many there are.
        local_rank: Its number among those of its machine, which chooses its GPU.
        local_world: How many there are on its machine.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @property
    def is_first(self) -> bool:
        """This process writes and prints the results."""
        return self.rank == 0

    def owns(self, index: int) -> bool:
        """Say whether the image of this number in its split is this process's work."""
        return index % self.world == self.rank

    def connect(self) -> None:
        """Meet the other processes; returns once all are there.

        Raises:
            UsageError: The address at which to meet is not given or not reachable.
        """
        if self.world == 1:
            return
        # Late, as below: wrong usage must not wait for torch.
        import torch.distributed as dist

        try:
            dist.init_process_group(
                "gloo", rank=self.rank, world_size=self.world, timeout=_PATIENCE
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"the {self.world} processes cannot meet ({reason}); start them with torchrun"
            ) from None

    def disconnect(self) -> None:
        """Leave the other processes."""
        if self.world > 1:
            import torch.distributed as dist

            dist.destroy_process_group()

    def gather(self, message: _Message) -> list[_Message]:
        """Return what every process says, by rank; waits for all of them.

        Raises:
            ProcessError: A process has ended without a word.
        """
        if self.world == 1:
            return [message]
        import torch.distributed as dist

        messages: list[_Message] = [message] * self.world
        try:
            dist.all_gather_object(messages, message)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ProcessError(f"another process of this run has ended: {reason}") from None
        return messages

    def check(self, error: Exception | None, what: str) -> None:
        """Agree whether a step went well everywhere; waits for all processes.

        Args:
            error: Why it did not in this process; raised again once the others know.
            what: Name of the step, for the message.

        Raises:
            ProcessError: It failed in another process.
        """
        said = None if error is None else f"{type(error).__name__}: {' '.join(str(error).split())}"
        answers = self.gather(said)
        if error is not None:
            raise error
        failures = [f"process {rank}: {said}" for rank, said in enumerate(answers) if said]
        if failures:
            raise ProcessError(f"{what} failed in {'; '.join(failures)}")


ALONE = Processes()


def processes_from_environment() -> Processes:
    """Return this process's place as ``torchrun`` gives it; alone if it does not.

    Raises:
        UsageError: The variables contradict each other.
    """
    world = _number("WORLD_SIZE", 1)
    if world == 1:
        return ALONE
    rank = _number("RANK", -1)
    local_rank = _number("LOCAL_RANK", rank)
    if not 0 <= rank < world or local_rank < 0:
        raise UsageError(
            f"RANK must be 0 to {world - 1} with WORLD_SIZE={world}, got {rank}; start the "
            "processes with torchrun"
        )
    return Processes(rank, world, local_rank, _number("LOCAL_WORLD_SIZE", world))


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    try:
        number = int(text) if text else default
    except ValueError:
        raise UsageError(f"the variable {name} must be a number, got {text!r}") from None
    if name == "WORLD_SIZE" and number < 1:
        raise UsageError(f"the variable {name} must be at least 1, got {number}")
    return number
