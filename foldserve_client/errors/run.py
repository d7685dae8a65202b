"""What failed at the server, on a request that was fine."""

from foldserve_client.errors.roots import ServiceError


class RunError(ServiceError):
    """The model failed on an admitted request."""


class InferenceFailed(RunError):
    """The model's run failed on this input."""

    code = "inference_failed"


class RunTimedOut(RunError):
    """The model's run took too long and was ended."""

    code = "run_timed_out"


class OutOfMemory(RunError):
    """There was not the memory for the model's run."""

    code = "out_of_memory"


class OutputNotFinite(RunError):
    """The model answered NaN or infinity, which JSON cannot carry."""

    code = "output_not_finite"


class InternalError(RunError):
    """An unexpected error; the log has it under the request id."""

    code = "internal_error"
