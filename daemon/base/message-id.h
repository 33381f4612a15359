/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What kind a message in the journal is (MESSAGE_ID=, systemd.journal-fields(7)): for
 * those who filter. systemd/eagersplitd.catalog explains each. Never changed, never
 * given to another kind.
 */
#ifndef EAGERSPLITD_MESSAGE_ID_H
#define EAGERSPLITD_MESSAGE_ID_H

#define MESSAGE_STARTED	      "a534934bf60e46ebae3a28a0fd52b4ff" /* ready, or stopping */
#define MESSAGE_UNSUPPORTED   "18844d710abd4415865e96f9f17a75c2" /* nothing can be split here */
#define MESSAGE_RELOADED      "4a913eb948064df58b34e5e5bdf53df0"
#define MESSAGE_RELOAD_FAILED "62adcd531d454d52861861d1b5ea40b6"
#define MESSAGE_CLIENT	      "478dde2b13fe4408a83cd38f9b9eab1a" /* a client was refused, or dropped */
#define MESSAGE_CHANGED	      "4183136b79924a19a28b52aa796b5705" /* a client has changed something */

#define MESSAGE_VM_REGISTERED "09b87086622c44d2b970f7da11ece18f"
#define MESSAGE_VM_GONE	      "052f387eb6694d81b9fa23840d24fb87" /* or unregistered */
#define MESSAGE_VM_MIGRATION  "1e7680978da143babfb6a77e70f655c8" /* what is known of it */
#define MESSAGE_VM_STAGE      "fd6fa5e685784612bfd5363f6b9c582c" /* splitting, recovering, whole */
#define MESSAGE_VM_SPLIT      "72839ad1528e4a718c4cd928fd7eb6a9"
#define MESSAGE_VM_FAILED     "6d6805da753e4fcc81f2536d0294c48c"
#define MESSAGE_VM_LATE	      "c965ac7f87a74001a57a5a085494f4a7"
#define MESSAGE_VM_HISTORY    "4ba3ddc2f8c34d739b791a8fd5efac6e" /* how a migration went */
#define MESSAGE_VM_HELD	      "cea9e5617ac644cc9212e843d6cb5f49" /* its hold could not be released */

#endif /* EAGERSPLITD_MESSAGE_ID_H */
