/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has changed something, for the journal. */
#ifndef EAGERSPLITD_CONTROL_CHANGE_H
#define EAGERSPLITD_CONTROL_CHANGE_H

struct ucred;
struct vm_info;

/* @vm: which, NULL: it is about none; @what: as in "Registered". */
void control_log_change(const struct ucred *peer, const struct vm_info *vm, const char *what);

#endif /* EAGERSPLITD_CONTROL_CHANGE_H */
