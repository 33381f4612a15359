/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_PARAMS_H
#define EAGERSPLITD_CTL_PARAMS_H

/* The parameters of calls. NULL: no memory. */

#include <json-c/json.h>

#include "ctl/ctl.h"

/* vm: as it is given or shown, text_unescape() is done here; it may be NULL: not given. */
json_object *params_vm(const char *vm);

/* name may be NULL: not given. */
json_object *params_register(int64_t pid, const char *name);

/* vm: the same. With the deadline and the rate of the command line, where they are given. */
json_object *params_migration(const struct ctl *ctl, const char *vm, const char *migration);

#endif /* EAGERSPLITD_CTL_PARAMS_H */
