/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the control interface and its errors are called: org.eagersplit.Manager.varlink. */
#ifndef EAGERSPLITD_CONTROL_NAMES_H
#define EAGERSPLITD_CONTROL_NAMES_H

#define CONTROL_INTERFACE		    "org.eagersplit.Manager"
#define CONTROL_ERROR_NO_SUCH_VM	    CONTROL_INTERFACE ".NoSuchVm"
#define CONTROL_ERROR_NO_SUCH_PROCESS	    CONTROL_INTERFACE ".NoSuchProcess"
#define CONTROL_ERROR_NOT_A_VMM		    CONTROL_INTERFACE ".NotAVmm"
#define CONTROL_ERROR_VM_EXISTS		    CONTROL_INTERFACE ".VmExists"
#define CONTROL_ERROR_UNSUPPORTED	    CONTROL_INTERFACE ".Unsupported"
#define CONTROL_ERROR_TRY_AGAIN		    CONTROL_INTERFACE ".TryAgain"
#define CONTROL_ERROR_INVALID_TRANSITION    CONTROL_INTERFACE ".InvalidTransition"
#define CONTROL_ERROR_NOT_KEPT		    CONTROL_INTERFACE ".NotKept"
#define CONTROL_ERROR_INVALID_CONFIGURATION CONTROL_INTERFACE ".InvalidConfiguration"

#endif /* EAGERSPLITD_CONTROL_NAMES_H */
