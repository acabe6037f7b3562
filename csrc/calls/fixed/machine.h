/* machine.h - the machine that a build is told it runs on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FIXED_MACHINE_H
#define PTOVERLAY_FIXED_MACHINE_H

#define MACHINE_NAME "build"
#define MACHINE_OTHER_NAME "other-host" /* PTO_BUILD_OTHER_HOST */
#define MACHINE_KERNEL "6.1.0"
#define MACHINE_VERSION "#1 SMP"
#define MACHINE_MEMORY (4ul << 30)  /* bytes */

#endif
