/* plain.c - a plain run, from its command line to its exit status.
 *
 * A plain run has one overlay, with an upper that is there already or goes away with the run; its options are in
 * words.c.  It does what ptoverlay/run.py does, by the same functions.
 *
 * Rules: as long as CMD has not run, whatever is in the way is left to Python, with nothing left behind: it does all of
 * it once more, and has the words for what fails.  Once CMD has run it is never run again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../ptoverlay.h"
#include "layers.h"
#include "text.h"
#include "words.h"

#define OWN_ERROR 125

/* One run.  told: somebody sits at a terminal; silent: there is no standard error. */
struct plain {
    struct words words;
    bool told, silent;
    struct front_layers layers;
    pto_signals *signals;
    pto_view *view;
    struct pto_result result;
};

static bool add_overlay(struct plain *plain) {
    char message[1024];
    struct stat st;
    const struct pto_overlay overlay = {
        .lowers = plain->words.lowers,
        .n_lowers = plain->words.n_lowers,
        .upper = plain->layers.upper,
        .work = plain->layers.work,
        .mount = plain->words.mount,
        .flags = *plain->layers.top ? PTO_TEMPORARY : 0,
    };
    if (stat(plain->words.mount, &st) < 0 || !S_ISDIR(st.st_mode))
        return false;
    return pto_view_add_overlay(plain->view, &overlay, message, sizeof message) == 0;
}

static bool add_places(struct plain *plain) {
    char message[1024];
    int kind;
    const char *usual;
    for (int i = 0; (usual = pto_usual_place(i, &kind)); i++)
        (void)pto_view_add_place(plain->view, kind, usual, message, sizeof message);
    for (size_t i = 0; i < plain->words.n_places; i++)
        if (pto_view_add_place(plain->view, plain->words.places[i].kind, plain->words.places[i].path, message,
                               sizeof message) != 0)
            return false;
    const char *top = plain->layers.top;
    return !*top || pto_view_add_place(plain->view, PTO_HIDDEN, top, message, sizeof message) == 0;
}

/* Whether CMD can start where we are. */
static bool can_start_here(const struct plain *plain) {
    char here[PATH_MAX];
    struct pto_stat st;
    if (plain->words.chdir)
        return true;
    return getcwd(here, sizeof here) && pto_stat(plain->view, here, true, &st) == 0 && S_ISDIR(st.mode);
}

static bool prepare(struct plain *plain) {
    plain->signals = pto_signals_hold();
    if (!plain->signals || !front_layers_find(&plain->layers, &plain->words))
        return false;
    plain->view = pto_view_new();
    return plain->view && add_overlay(plain) && add_places(plain) && can_start_here(plain);
}

/* Runs CMD; false when it never ran, but not because of itself. */
static bool run(struct plain *plain) {
    extern char **environ;
    const struct words *words = &plain->words;
    const struct pto_command command = {
        .argv = (const char *const *)words->argv,
        .envp = (const char *const *)environ,
        .chdir = words->chdir,
        .trap = words->trap,
        .flags = words->flags,
        .blocked = pto_signals_blocked(plain->signals),
        .trace_fd = -1,
        .message_fd = words->quiet || plain->silent ? -1 : STDERR_FILENO,
    };
    if (pto_signals_forward(plain->signals, plain->view, plain->told ? words->argv[0] : NULL) < 0)
        return false;
    (void)pto_run(plain->view, &command, &plain->result);
    pto_signals_stop(plain->signals);
    return plain->result.stage == PTO_STAGE_NONE || plain->result.stage == PTO_STAGE_LOST;
}

static bool holds_something(const char *upper) {
    DIR *dir = opendir(upper);
    bool found = false;
    for (const struct dirent *entry; dir && !found && (entry = readdir(dir));)
        found = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (dir)
        closedir(dir);
    return found;
}

/* Takes all away that was made for the run; all but what CMD has done, if it ran. */
static void put_away(struct plain *plain, bool ran) {
    char failed[NAME_MAX + 1];
    const char *top = plain->layers.top;
    if (plain->view)
        pto_view_free(plain->view);
    if (!ran && plain->view)
        front_layers_take_back(&plain->layers);
    int error = *top ? pto_remove_tree(top, failed, sizeof failed) : 0;
    if (error)
        text_report("%s: not removed: %s ('%s')", top, strerror(-error), failed);
    if (plain->signals)
        pto_signals_release(plain->signals);
}

/* Ends us by the signal, without a core dump of ours; returns only if that is not possible. */
static int die_of(int number) {
    const struct sigaction plain = {.sa_handler = SIG_DFL};
    struct rlimit core;
    sigset_t one;
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0;
        (void)setrlimit(RLIMIT_CORE, &core);
    }
    (void)sigaction(number, &plain, NULL);
    if (sigemptyset(&one) == 0 && sigaddset(&one, number) == 0)
        (void)pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    (void)kill(getpid(), number);
    return 128 + number;
}

static int outcome(const struct plain *plain) {
    if (plain->result.stage == PTO_STAGE_LOST) {
        text_report("%s", plain->result.message);
        return OWN_ERROR;
    }
    int status = plain->result.status;
    return WIFSIGNALED(status) ? die_of(WTERMSIG(status)) : WEXITSTATUS(status);
}

int pto_plain(char *const *argv, int *status) {
    static struct plain plain;     /* the result is larger than a small stack */
    if (!words_read(argv, &plain.words) || pto_is_nested() || access("/proc/self", F_OK) < 0)
        return false;
    if (!plain.words.n_lowers)
        plain.words.lowers[plain.words.n_lowers++] = "/";
    if (!plain.words.mount)
        plain.words.mount = plain.words.lowers[0];
    plain.told = !plain.words.quiet && isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    plain.silent = fcntl(STDERR_FILENO, F_GETFD) < 0;
    bool ran = prepare(&plain) && run(&plain);
    bool lost = ran && plain.told && *plain.layers.top && holds_something(plain.layers.upper);
    if (lost)
        text_report("what was changed is thrown away (ptoverlay run --name NAME keeps it)");
    put_away(&plain, ran);
    if (ran)
        *status = outcome(&plain);
    return ran;
}
