"""Whose versions are chosen how: by the setting, until a command says otherwise."""

from service.repository.policy import Policies, Policy


class Choices:
    """The policy of each model, and which models clients do not want.

    Args:
        policies: the setting's.
    """

    def __init__(self, policies: Policies) -> None:
        self.setting = policies
        self.unloaded: set[str] = set()
        self._commanded: dict[str, Policy] = {}

    def of(self, name: str) -> Policy:
        """Return what chooses the versions of a model now."""
        return self._commanded.get(name) or self.setting.of(name)

    def wanted(self, name: str, policy: Policy | None) -> Policy:
        """Return what a load asks for: its own policy, or else the setting's."""
        return policy or self.setting.of(name)

    def take(self, name: str, policy: Policy) -> None:
        """Choose by this policy from now on."""
        self._commanded[name] = policy

    def obey(self, name: str, policy: Policy | None) -> bool:
        """Return whether a model's versions are chosen as a load wants it."""
        return self.of(name) == self.wanted(name, policy)

    def recall(self, name: str, policy: Policy | None, *, unloaded: bool) -> None:
        """Heed at the start what was commanded of a model before.

        Args:
            name: of the model.
            policy: that a load came with.
            unloaded: whether it is not to be served.
        """
        if policy is not None:
            self.take(name, policy)
        if unloaded:
            self.unloaded.add(name)
