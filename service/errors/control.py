"""What a command to the repository did not do."""

from service.errors.roots import ServiceError


class ControlError(ServiceError):
    """A command to the repository was not carried out."""


class ControlPlaneOff(ControlError):
    """Clients may not load and unload models here."""

    # Triton says 503, as if it were for now; only another setting and a new start change it.
    code = "control_plane_off"
    status = 403


class LoadFailed(ControlError):
    """A file in the model's folder could not be loaded; what was served before still is."""

    code = "load_failed"
    status = 500
