# SPDX-License-Identifier: GPL-2.0-or-later
"""TLB conflict aborts, injected: KVM invalidates the VMID on that CPU, and the guest goes on.

No emulator raises them. A debug kernel, which has a patch for that, calls every other stage-2 abort one
(CONFIG_FAIL_FUNCTION); the guest takes each again, until it is called what it is.
"""

from host.lab import read, write
from host.vmm import Vmm

ORDER = 22
BASES = ("linux-6.1",)
SERIES = ("bbm",)
CPUS = ("neoverse-n1", "max-bbm", "cortex-a72")
SYSTEMD = False
DEBUG = "only"

INJECTION = "/sys/kernel/debug/fail_function"
# More than there will be: two CPUs at once may take the last one, and it is counted once.
TIMES = 1000000
PAGES = 4096
BLOCKS = PAGES // 512
EVERY = 16


def inject():
    write(f"{INJECTION}/inject", "kvm_is_tlb_conflict")
    # Half of the aborts; nothing about each in the log.
    for name, value in (("interval", 1), ("verbose", 0), ("times", TIMES), ("probability", 50)):
        write(f"{INJECTION}/{name}", value)


def run(lab):
    lab.huge_pages(16)
    vmm = Vmm(lab)
    vmm.add(mib=16)
    vmm.work("populate", 1)
    vmm.call("log", 1, on=1)
    phase = lab.phase("conflict aborts")
    inject()
    # Under dirty logging each written page takes an abort of its own.
    vmm.work("pass", 1, write=EVERY)
    write(f"{INJECTION}/probability", 0)
    lab.phase_end()
    injected = TIMES - int(read(f"{INJECTION}/times"))
    write(f"{INJECTION}/inject", "\n")
    lab.ok(injected > 0, "some were injected", injected)
    # Nothing was split ahead: each block is broken in the fault that writes to it first.
    lab.expect(phase, "each takes an invalidation of the VMID, on its own CPU", vmalls12e1=injected, broadcast=BLOCKS)
    log = vmm.call("dirty", 1)
    lab.eq((log["pages"], log["missing"]), (PAGES // EVERY, 0), "each page that was written is in the dirty log")
    vmm.work("pass", 1, write=1)
    vmm.intact("the guest goes on, its memory is intact")
    vmm.quit()
