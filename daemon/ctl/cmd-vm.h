/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_VM_H
#define EAGERSPLITD_CTL_VM_H

/* How VMs are shown. */

#include "ctl/json.h"
#include "ctl/term.h"

/* What a stage looks like wherever it stands: green where all is well, red where not. */
enum colour ctl_stage_colour(const char *stage);

#endif /* EAGERSPLITD_CTL_VM_H */
