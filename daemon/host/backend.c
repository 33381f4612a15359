// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/backend.h"

struct backend *backend_free(struct backend *backend)
{
	if (backend)
		backend->ops->free(backend);
	return NULL;
}
