/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_CMD_PLAN_H
#define EAGERSPLITD_CTL_CMD_PLAN_H

/* What the files of the command "plan" share. */

#include "ctl/ctl.h"

/* Plans for VMs that there are; without names, for all. Returns the exit status. */
int plan_vms(const struct ctl *ctl, char **names);

#endif /* EAGERSPLITD_CTL_CMD_PLAN_H */
