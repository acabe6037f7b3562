/* script.c - the first line of a script.
 *
 * Rule: what is and what is not a script, and where its interpreter's name and argument end, is what fs/binfmt_script.c
 * says: 256 bytes, blanks are spaces and tabs, a name that may have been cut is ENOEXEC.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "script.h"

static bool blank(char c) {
    return c == ' ' || c == '\t';
}

/* First byte in [at, end) that is no blank, or end. */
static const char *skip_blanks(const char *at, const char *end) {
    while (at < end && blank(*at))
        at++;
    return at;
}

/* First blank or NUL in [at, end), or end. */
static const char *skip_word(const char *at, const char *end) {
    while (at < end && *at && !blank(*at))
        at++;
    return at;
}

static void copy(char *out, const char *from, const char *end) {
    size_t length = strnlen(from, (size_t)(end - from));
    memcpy(out, from, length);
    out[length] = '\0';
}

/* The end of the line's text in line, which has no newline within its reach: NULL when the name may have been cut. */
static const char *cut_line(const char *line) {
    const char *end = line + SCRIPT_LINE - 1;
    const char *name = skip_blanks(line + 2, end);
    if (name == end || (skip_word(name, end) == end && *end && !blank(*end)))
        return NULL;
    return end;
}

int script_parse(const char line[SCRIPT_LINE], struct script *script) {
    if (line[0] != '#' || line[1] != '!')
        return 0;
    size_t text = strnlen(line, SCRIPT_LINE);
    const char *end = memchr(line, '\n', text);
    if (!end)
        end = cut_line(line);
    if (!end)
        return -ENOEXEC;
    while (end > line + 2 && blank(end[-1]))
        end--;
    const char *name = skip_blanks(line + 2, end);
    if (name == end)
        return -ENOEXEC;
    const char *name_end = skip_word(name, end);
    const char *argument = name_end < end && *name_end ? skip_blanks(name_end, end) : end;
    copy(script->interpreter, name, name_end);
    script->has_argument = argument < end;
    copy(script->argument, argument, end);
    return 1;
}
