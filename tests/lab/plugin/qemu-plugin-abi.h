/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of QEMU's TCG plugin ABI that the TLBI counter uses: version 1, of
 * QEMU 7.2, and versions from 3 on, of QEMU 9.2 and later. Debian packages no
 * header for it; the emulator exports these symbols.
 */
#ifndef QEMU_PLUGIN_ABI_H
#define QEMU_PLUGIN_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLUGIN_EXPORT __attribute__((visibility("default")))
#define PLUGIN_ABI    1
/* From here on the bytes of an instruction are copied to where the plugin wants them. */
#define PLUGIN_ABI_COPIES 3
/* What emulators have that know version 1, and later ones have not */
#define PLUGIN_ABI_1_SYMBOL "qemu_plugin_n_vcpus"

/* Values of the emulator's enum qemu_plugin_cb_flags. */
#define PLUGIN_CB_NO_REGS 0

struct qemu_plugin_tb;
struct qemu_plugin_insn;

typedef uint64_t qemu_plugin_id;

struct qemu_plugin_info {
	const char *target_name;
	struct {
		int min;
		int cur;
	} version;
	bool system_emulation;
	struct {
		int smp_vcpus;
		int max_vcpus;
	} system;
};

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id id,
					   void (*cb)(qemu_plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned int vcpu, void *data), int flags,
					    void *data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id id, void (*cb)(qemu_plugin_id, void *),
				    void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

/* The types of qemu_plugin_insn_data(), by version */
typedef const void *qemu_plugin_insn_data_1(const struct qemu_plugin_insn *insn);
typedef size_t qemu_plugin_insn_data_3(const struct qemu_plugin_insn *insn, void *dest,
				       size_t size);

#endif
