/* script.h - the first line of a script.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SCRIPT_H
#define PTOVERLAY_SCRIPT_H

#include <stdbool.h>

#define SCRIPT_LINE 256     /* BINPRM_BUF_SIZE */
struct script {
    char interpreter[SCRIPT_LINE];
    char argument[SCRIPT_LINE];     /* "" without one: has_argument tells */
    bool has_argument;
};
/* The first line of a script, from the first SCRIPT_LINE bytes of the file, padded with NULs.  0: no script. 1.
 * -ENOEXEC. */
int script_parse(const char line[SCRIPT_LINE], struct script *script);

#endif
