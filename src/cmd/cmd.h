/* cmd: the one table of commands, and what is made from it.
 *
 * Model. Each subcommand is one `const struct command` in a file of its own, listed once in
 * table.c. From that table come dispatch, checking of options, `kitten help`, `--help`, the man
 * page (docs/kitten.1), the bash completion (packaging/kitten.bash) and the convention that
 * `--json` means one JSON value on standard output. A handler gets parsed and checked arguments and
 * returns 0, or -KT_ERR_* with a diagnostic, which main prints once as "kitten NAME: text", or a
 * positive exit code that it has explained itself (`fsck` uses CMD_EXIT_DAMAGE for findings).
 *
 * A name may have two words ("bench verify"); the longest match wins. Handlers run on the main
 * thread before any event loop: they call rt_run themselves when they need one.
 *
 *     static const struct cmd_option options[] = {
 *         {"endpoint", CMD_TEXT, "HOST:PORT", "127.0.0.1:9000", "server to ask"},
 *         {0}};
 *     const struct command cmd_status = {.name = "status", .summary = "show the state of a server",
 *                                        .options = options, .json = true, .run = status_run};
 *
 * Start-up code: one thread; nothing here yields.
 */
#ifndef KT_CMD_CMD_H
#define KT_CMD_CMD_H

#include "base/macros.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes by class; scripts rely on them. */
enum cmd_exit {
    CMD_EXIT_OK = 0,
    CMD_EXIT_FAILURE = 1, /* anything without a class of its own */
    CMD_EXIT_USAGE = 2,   /* unknown command or option, malformed value */
    CMD_EXIT_AUTH = 3,    /* credentials missing, wrong or expired */
    CMD_EXIT_NOT_FOUND = 4,
    CMD_EXIT_CONFLICT = 5,    /* exists already, in use, precondition */
    CMD_EXIT_UNAVAILABLE = 6, /* not reachable, busy, full: try again later */
    CMD_EXIT_DAMAGE = 7,      /* stored data damaged or at risk */
};

enum cmd_type {
    CMD_FLAG,     /* no value */
    CMD_TEXT,     /* any text */
    CMD_COUNT,    /* decimal number */
    CMD_REAL,     /* decimal fraction >= 0 */
    CMD_SIZE,     /* bytes: "4096", "4KiB", "1MiB", "2GiB", "1TiB" */
    CMD_DURATION, /* "250ms", "10s", "5m", "2h", "7d"; a bare number means seconds */
};

struct cmd_option {
    const char *name; /* without dashes */
    enum cmd_type type;
    const char *value;    /* placeholder in help; NULL for flags */
    const char *fallback; /* default in the same notation, NULL: none */
    const char *help;     /* one sentence, no full stop */
};

struct cmd_example {
    const char *line; /* complete command line */
    const char *text; /* what it does */
};

struct cmd_args;

struct command {
    const char *name;                 /* one word, or two */
    const char *operands;             /* as in a synopsis: "DIR...", "" */
    const char *summary;              /* one line, no full stop */
    const char *text;                 /* paragraphs separated by empty lines; may be NULL */
    const struct cmd_option *options; /* ended by a NULL name; may be NULL */
    /* The i-th option beyond `options` (parameters of a configuration table), NULL past the last;
     * the result must stay valid. May be NULL. */
    const struct cmd_option *(*more_options)(size_t i);
    const struct cmd_example *examples; /* ended by a NULL line; may be NULL */
    int words_min, words_max;           /* operands accepted, max 0: none, -1: any number */
    bool json;                          /* understands --json */
    int (*run)(const struct cmd_args *args);
};

#define CMD_VALUES_MAX 128

struct cmd_value {
    const struct cmd_option *option;
    const char *text; /* points into argv */
};

/* A parsed command line; borrows argv. */
struct cmd_args {
    const struct command *command;
    struct cmd_value values[CMD_VALUES_MAX]; /* in the order given */
    int nvalues;
    const char *
        *words; /* operands, `nwords` of them; owned by the parser, freed by cmd_args_done */
    int nwords;
    bool json;
    bool help;
};

/* All commands, sorted by name, ended by NULL (table.c). */
extern const struct command *const cmd_table[];

/* The whole program: parses, runs, reports; returns the exit code. */
int cmd_main(int argc, char **argv);

/* Finds the command that argv begins with; *ret_used words name it. Errors: INVALID with a
 * suggestion. */
int cmd_find(int argc, char **argv, const struct command **ret, int *ret_used) KT_MUST_CHECK;
/* Parses what follows the name, checking every value against its type. Errors: INVALID. */
int cmd_parse(const struct command *c, int argc, char **argv, struct cmd_args *ret) KT_MUST_CHECK;
void cmd_args_done(struct cmd_args *args);
/* The exit code for a handler's result. */
int cmd_exit_code(int rc);

/* The i-th option of a command, those of its configuration included; NULL past the last. */
const struct cmd_option *cmd_option_at(const struct command *c, size_t i);

/* Values of an option that the command has (asserted): the last one given, else its default. */
bool cmd_given(const struct cmd_args *args, const char *name);
bool cmd_flag(const struct cmd_args *args, const char *name);
const char *cmd_text(const struct cmd_args *args, const char *name); /* NULL: none and no default */
uint64_t cmd_count(const struct cmd_args *args,
                   const char *name); /* CMD_COUNT, CMD_SIZE; 0: none */
double cmd_real(const struct cmd_args *args, const char *name);
int64_t cmd_duration_ms(const struct cmd_args *args, const char *name);
/* The i-th use of a repeatable option, NULL past the last; no default. */
const char *cmd_text_at(const struct cmd_args *args, const char *name, int i);

/* Notations, also for values inside texts. Return false when `s` is malformed or out of range. */
bool cmd_read_size(const char *s, uint64_t *ret) KT_MUST_CHECK;
bool cmd_read_duration(const char *s, int64_t *ret_ms) KT_MUST_CHECK;
bool cmd_read_real(const char *s, double *ret) KT_MUST_CHECK;

#endif
