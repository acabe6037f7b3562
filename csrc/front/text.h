/* text.h - lines for a person on standard error.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FRONT_TEXT_H
#define PTOVERLAY_FRONT_TEXT_H

#include <stdarg.h>
#include <stddef.h>

/* Copies `text` with every byte that could end or hide the line written as an escape; what does not fit into `size`
 * bytes (at least 8) is left out at the end. */
void text_one_line(const char *text, char *out, size_t size);

/* "ptoverlay: " and the line; a closed or full standard error is nothing to fail over. */
void text_report(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
