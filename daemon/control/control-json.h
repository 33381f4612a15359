/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CONTROL_JSON_H
#define EAGERSPLITD_CONTROL_JSON_H

/* Hosts and VMs as org.eagersplit.Manager writes them. NULL: no memory. */

#include <stdbool.h>

#include <json-c/json.h>

#include "manager/manager.h"

/* The most memslots that a VM is told with. */
#define CONTROL_MEMSLOTS_MAX SURVEY_SLOTS_MAX

/* The interface's Host. */
json_object *control_host_to_json(const struct host_info *info);

/* The interface's Vm: with its memslots, as GetVm gives it, or without. */
json_object *control_vm_to_json(const struct vm *vm, bool memslots);

/* { "vm": VM }, the parameters of most replies. */
json_object *control_vm_reply(const struct vm *vm, bool memslots);

#endif /* EAGERSPLITD_CONTROL_JSON_H */
