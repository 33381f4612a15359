# SPDX-License-Identifier: GPL-2.0-or-later
"""TLB conflict aborts, injected: KVM invalidates the VMID on that CPU, and the guest goes on.

No emulator raises them. A debug kernel, which has a patch for that, calls every other stage-2 abort one
(CONFIG_FAIL_FUNCTION); the guest takes each again, until it is called what it is.
"""

from host.injection import Injection
from host.vmm import Vmm

ORDER = 22
BASES = ("linux-6.1",)
SERIES = ("bbm",)
CPUS = ("neoverse-n1", "max-bbm", "cortex-a72")
SYSTEMD = False
DEBUG = "only"

PAGES = 4096
BLOCKS = PAGES // 512
EVERY = 16


def run(lab):
    lab.huge_pages(16)
    vmm = Vmm(lab)
    vmm.add(mib=16)
    vmm.work("populate", 1)
    vmm.call("log", 1, on=1)
    phase = lab.phase("conflict aborts")
    conflicts = Injection("kvm_is_tlb_conflict")
    conflicts.start()
    # Under dirty logging each written page takes an abort of its own.
    vmm.work("pass", 1, write=EVERY)
    injected = conflicts.stop()
    lab.phase_end()
    lab.ok(injected > 0, "some were injected", injected)
    # Nothing was split ahead: each block is broken in the fault that writes to it first.
    lab.expect(phase, "each takes an invalidation of the VMID, on its own CPU", vmalls12e1=injected, broadcast=BLOCKS)
    log = vmm.call("dirty", 1)
    lab.eq((log["pages"], log["missing"]), (PAGES // EVERY, 0), "each page that was written is in the dirty log")
    vmm.work("pass", 1, write=1)
    vmm.intact("the guest goes on, its memory is intact")
    vmm.quit()
