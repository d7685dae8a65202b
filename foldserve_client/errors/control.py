"""What a command to the repository did not do."""

from foldserve_client.errors.roots import ServiceError


class ControlError(ServiceError):
    """A command to the repository was not carried out."""


class ControlPlaneOff(ControlError):
    """Clients may not load and unload models here."""

    code = "control_plane_off"


class LoadFailed(ControlError):
    """A file in the model's folder could not be loaded; what was served before still is."""

    code = "load_failed"
