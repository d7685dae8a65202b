"""What failed on an admitted request."""

from service.errors.roots import ServiceError, TryLater


class RunError(ServiceError):
    """The model failed on an admitted request."""


class InferenceFailed(RunError):
    """The model's run failed on this input."""

    code = "inference_failed"
    status = 500


class RunTimedOut(RunError):
    """The model's run took too long and was ended."""

    code = "run_timed_out"
    status = 504


class OutOfMemory(TryLater, RunError):
    """There was not the memory for the model's run."""

    code = "out_of_memory"
    status = 503


class OutputNotFinite(RunError):
    """The model answered NaN or infinity, which JSON cannot carry."""

    code = "output_not_finite"
    status = 500


class InternalError(RunError):
    """An unexpected error; the log has it under the request id."""

    code = "internal_error"
    status = 500
