/* words.c - reads the command lines of a plain run: those whose options are all in the table here.
 *
 * Rules: what is read here is read by ptoverlay/cli.py to the same end (test_front.py compares them), and whatever is
 * in doubt is left to it, mistakes too: it has the words for them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "words.h"

#include <string.h>

#include "../ptoverlay.h"

typedef bool apply_fn(struct words *words, const char *value, int constant);

/* at: of the member of struct words. */
static bool set_text(struct words *words, const char *value, int at) {
    memcpy((char *)words + at, &value, sizeof value);
    return true;
}

/* Layers that are named as they are. */
static bool set_lowers(struct words *words, const char *value, int constant) {
    (void)constant;
    size_t length = strlen(value);
    if (strchr(value, '\\') || length >= sizeof words->lower_text)
        return false;
    memcpy(words->lower_text, value, length + 1);
    char *rest = words->lower_text;
    for (words->n_lowers = 0; rest && words->n_lowers < LOWERS;)
        words->lowers[words->n_lowers++] = strsep(&rest, ":");
    return !rest;
}

static bool set_trap(struct words *words, const char *value, int constant) {
    static const char *const names[] = {
        [PTO_TRAP_AUTO] = "auto", [PTO_TRAP_PTRACE] = "ptrace", [PTO_TRAP_NOTIFY] = "notify"};
    (void)constant;
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(value, names[i]) == 0) {
            words->trap = i;
            return true;
        }
    return false;
}

static bool set_quiet(struct words *words, const char *value, int constant) {
    (void)value, (void)constant;
    words->quiet = true;
    return true;
}

static bool set_flag(struct words *words, const char *value, int flag) {
    (void)value;
    words->flags |= (unsigned)flag;
    return true;
}

static bool clear_flag(struct words *words, const char *value, int flag) {
    (void)value;
    words->flags &= ~(unsigned)flag;
    return true;
}

static bool add_place(struct words *words, const char *value, int kind) {
    if (words->n_places == PLACES)
        return false;
    words->places[words->n_places].kind = kind;
    words->places[words->n_places++].path = value;
    return true;
}

static const struct option {
    const char *name;
    char letter;
    bool argument;
    apply_fn *apply;
    int constant;
} options[] = {
    {"lower", 'l', true, set_lowers, 0},
    {"upper", 'u', true, set_text, offsetof(struct words, upper)},
    {"work", 'w', true, set_text, offsetof(struct words, work)},
    {"mount", 'm', true, set_text, offsetof(struct words, mount)},
    {"chdir", 'C', true, set_text, offsetof(struct words, chdir)},
    {"trap", '\0', true, set_trap, 0},
    {"quiet", 'q', false, set_quiet, 0},
    {"kill-on-exit", '\0', false, set_flag, PTO_KILL_ON_EXIT},
    {"strict", '\0', false, set_flag, PTO_STRICT},
    {"no-inject", '\0', false, clear_flag, PTO_INSIDE},
    {"direct", '\0', true, add_place, PTO_DIRECT},
    {"read-only", '\0', true, add_place, PTO_PLACE_READ_ONLY},
    {"hide", '\0', true, add_place, PTO_HIDDEN},
};
#define OPTIONS (sizeof options / sizeof *options)

/* The option that a word names whole, "--lower", "--lower=DIR" or "-l", and the value in it, if there is one. */
static const struct option *find(const char *word, const char **value) {
    *value = NULL;
    for (size_t i = 0; i < OPTIONS; i++) {
        size_t length = strlen(options[i].name);
        if (word[0] == '-' && word[1] && word[1] == options[i].letter && !word[2])
            return &options[i];
        if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, options[i].name, length) != 0)
            continue;
        if (word[2 + length] == '=')
            *value = word + 2 + length + 1;
        if (!word[2 + length] || *value)
            return &options[i];
    }
    return NULL;
}

static bool is_refused(const struct words *words) {
    const char *const given[] = {words->upper, words->work, words->mount, words->chdir};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i] && !*given[i])
            return true;
    for (size_t i = 0; i < words->n_lowers; i++)
        if (!*words->lowers[i])
            return true;
    return false;
}

bool words_read(char *const *argv, struct words *words) {
    *words = (struct words){.trap = PTO_TRAP_AUTO, .flags = PTO_INSIDE};
    bool run = argv[0] && strcmp(argv[0], "run") == 0;
    char *const *first = argv += run;
    for (; *argv && strcmp(*argv, "--") != 0; argv++) {
        const char *value;
        if (**argv != '-' && (run || argv != first))   /* else it may be a subcommand */
            break;
        const struct option *option = find(*argv, &value);
        if (!option || (value && !option->argument))
            return false;
        if (option->argument && !value && !(value = *++argv))
            return false;
        if (!option->apply(words, value, option->constant))
            return false;
    }
    if (*argv && strcmp(*argv, "--") == 0)
        argv++;
    words->argv = argv;
    return *argv && !is_refused(words);
}
