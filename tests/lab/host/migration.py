# SPDX-License-Identifier: GPL-2.0-or-later
"""A live migration between two QEMUs on the emulated host, as a management tool does it by QMP."""

from host.lab import Failed
from host.qemu import Guest

# Bytes a second: next to nothing, and all that there is.
SLOWLY, UNLIMITED = 1 << 20, 1 << 40
# After so many passes over memory the guest is stopped for whatever is left.
PASSES_MAX = 8
PATIENCE_MSEC = 60000


class Migration:
    """Of a guest that runs to a QEMU of its own, the target."""

    def __init__(self, lab, source):
        self._lab = lab
        self.source = source
        self.target = Guest(lab, source.mib, vcpus=source.vcpus, write=source.write, eager=source.eager,
                            origin=source)
        self._uri = f"unix:/run/{self.target.name}.migration"
        self.target.qmp.call("migrate-incoming", uri=self._uri)

    def start(self):
        """Until memory is on its way, slowly: it stays so until finish() or cancel()."""
        self.source.qmp.call("migrate-set-parameters", max_bandwidth=SLOWLY)
        self.source.qmp.call("migrate", uri=self._uri)
        self._lab.wait_for("the first pages", lambda: self.info().get("ram", {}).get("normal"))

    def info(self):
        info = self.source.qmp.call("query-migrate")
        if info.get("status") == "failed":
            raise Failed(f"the migration has failed: {info.get('error-desc')}")
        return info

    def finish(self):
        """At full speed to its end; returns what QEMU says of it. The guest waits for arrive() then."""
        self.source.qmp.call("migrate-set-parameters", max_bandwidth=UNLIMITED)
        patient = False

        def completed():
            nonlocal patient
            info = self.info()
            if not patient and info["ram"]["dirty-sync-count"] > PASSES_MAX:
                self.source.qmp.call("migrate-set-parameters", downtime_limit=PATIENCE_MSEC)
                patient = True
            return info if info["status"] == "completed" else None

        return self._lab.wait_for("the migration's end", completed)

    def arrive(self):
        """Lets the guest go on where it is now, and ends the QEMU that it came from. Returns the target."""
        self._lab.wait_for("the target", self._is_there)
        self.target.qmp.call("cont")
        self.source.quit()
        return self.target

    def _is_there(self):
        return self.target.qmp.call("query-status")["status"] == "paused"

    def cancel(self):
        """The guest stays where it is."""
        self.source.qmp.call("migrate_cancel")
        self._lab.wait_for("the migration to be cancelled", lambda: self.info()["status"] == "cancelled")
        self.target.process.wait()
