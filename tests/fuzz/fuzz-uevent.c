// SPDX-License-Identifier: GPL-2.0-or-later
/* A message of the kernel's uevent socket. */
#include <errno.h>

#include "fuzz.h"
#include "host/uevent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct uevent uevent = {};
	int r = uevent_parse(data, size, &uevent);

	check(r == 0 || r == 1 || r == -EBADMSG);
	if (r == 1) {
		check(uevent.tid > 0);
		check(uevent.type <= UEVENT_VM_DESTROYED);
	}
	return 0;
}
