/* cmd: parse a command line against the table, run its handler, turn the result into an exit code.
 *
 * cmd_main -> cmd_find -> cmd_parse -> handler. Failure: the first fault found is reported as one
 * line on standard error with what was meant, and nothing has been run. */
#include "cmd/cmd.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/nearest.h"
#include "cmd/help.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct cmd_option option_json = {"json", CMD_FLAG, NULL, NULL,
                                              "print one JSON value instead of text"};
static const struct cmd_option option_help = {"help", CMD_FLAG, NULL, NULL, "show this text"};

const struct cmd_option *cmd_option_at(const struct command *c, size_t i)
{
    size_t own = 0;
    while (c->options && c->options[own].name)
        own++;
    if (i < own)
        return &c->options[i];
    i -= own;
    size_t more = 0;
    while (c->more_options && c->more_options(more))
        more++;
    if (i < more)
        return c->more_options(i);
    i -= more;
    if (c->json && i == 0)
        return &option_json;
    return i == (c->json ? 1u : 0u) ? &option_help : NULL;
}

/* ---- notations ---- */

/* Splits "12.5s" into a number and its unit. */
static bool read_number(const char *s, double *ret, const char **ret_unit)
{
    char *end;
    if (*s < '0' || *s > '9')
        return false;
    errno = 0;
    *ret = strtod(s, &end);
    *ret_unit = end;
    return errno == 0 && strspn(s, "0123456789.") == (size_t)(end - s);
}

bool cmd_read_size(const char *s, uint64_t *ret)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"", 1},         {"B", 1},        {"KiB", KIB(1)},
                 {"MiB", MIB(1)}, {"GiB", GIB(1)}, {"TiB", GIB(1024)},
                 {"KB", 1000},    {"MB", 1000000}, {"GB", 1000000000}};
    size_t digits = strspn(s, "0123456789");
    uint64_t n, bytes;
    if (!dec_to_u64(slice_of(s, digits), &n))
        return false;
    for (size_t i = 0; i < KT_ARRAY_LEN(units); i++) {
        if (strcmp(s + digits, units[i].unit) != 0)
            continue;
        if (!checked_mul(n, units[i].bytes, &bytes))
            return false;
        *ret = bytes;
        return true;
    }
    return false;
}

bool cmd_read_duration(const char *s, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"", 1e3}, {"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 36e5}, {"d", 864e5}};
    const char *unit;
    double n;
    if (!read_number(s, &n, &unit))
        return false;
    for (size_t i = 0; i < KT_ARRAY_LEN(units); i++)
        if (strcmp(unit, units[i].unit) == 0 && n * units[i].ms < 1e15) {
            *ret_ms = (int64_t)(n * units[i].ms);
            return true;
        }
    return false;
}

bool cmd_read_real(const char *s, double *ret)
{
    const char *unit;
    double n;
    if (!read_number(s, &n, &unit) || *unit)
        return false;
    *ret = n;
    return true;
}

static bool value_is_valid(enum cmd_type type, const char *text)
{
    uint64_t u;
    int64_t ms;
    double d;
    switch (type) {
    case CMD_FLAG:
        return false;
    case CMD_TEXT:
        return true;
    case CMD_COUNT:
        return dec_to_u64(slice_str(text), &u);
    case CMD_REAL:
        return cmd_read_real(text, &d);
    case CMD_SIZE:
        return cmd_read_size(text, &u);
    case CMD_DURATION:
        return cmd_read_duration(text, &ms);
    }
    return false;
}

static const char *type_example(enum cmd_type type)
{
    switch (type) {
    case CMD_COUNT:
        return "a number such as 100";
    case CMD_REAL:
        return "a number such as 0.5";
    case CMD_SIZE:
        return "a size such as 4096, 64KiB or 1GiB";
    case CMD_DURATION:
        return "a duration such as 250ms, 10s or 2h";
    case CMD_FLAG:
    case CMD_TEXT:
        break;
    }
    return "text";
}

/* ---- finding and parsing ---- */

static bool name_matches(const char *name, int argc, char **argv, int *ret_words)
{
    const char *space = strchr(name, ' ');
    if (!space) {
        *ret_words = 1;
        return argc >= 1 && strcmp(name, argv[0]) == 0;
    }
    *ret_words = 2;
    return argc >= 2 && strlen(argv[0]) == (size_t)(space - name) &&
           memcmp(name, argv[0], (size_t)(space - name)) == 0 && strcmp(space + 1, argv[1]) == 0;
}

static int fail_unknown_command(const char *word)
{
    struct nearest n = nearest_start(word);
    for (size_t i = 0; cmd_table[i]; i++)
        nearest_offer(&n, cmd_table[i]->name);
    if (n.word)
        return err_set(KT_ERR_INVALID, "unknown command '%s'; did you mean 'kitten %s'?", word,
                       n.word);
    return err_set(KT_ERR_INVALID, "unknown command '%s'; 'kitten help' lists them all", word);
}

int cmd_find(int argc, char **argv, const struct command **ret, int *ret_used)
{
    const struct command *best = NULL;
    int best_words = 0, words;
    for (size_t i = 0; cmd_table[i]; i++)
        if (name_matches(cmd_table[i]->name, argc, argv, &words) && words > best_words) {
            best = cmd_table[i];
            best_words = words;
        }
    if (!best)
        return fail_unknown_command(argv[0]);
    *ret = best;
    *ret_used = best_words;
    return 0;
}

static const struct cmd_option *find_option(const struct command *c, const char *name, size_t len)
{
    const struct cmd_option *o;
    for (size_t i = 0; (o = cmd_option_at(c, i)) != NULL; i++)
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    return NULL;
}

static int fail_unknown_option(const struct command *c, const char *name, size_t len)
{
    char word[NEAREST_WORD_MAX + 1];
    const struct cmd_option *o;
    snprintf(word, sizeof(word), "%.*s", (int)KT_MIN(len, sizeof(word) - 1), name);
    struct nearest n = nearest_start(word);
    for (size_t i = 0; (o = cmd_option_at(c, i)) != NULL; i++)
        nearest_offer(&n, o->name);
    if (n.word)
        return err_set(KT_ERR_INVALID, "unknown option '--%s'; did you mean '--%s'?", word, n.word);
    return err_set(KT_ERR_INVALID, "unknown option '--%s'; 'kitten help %s' lists them all", word,
                   c->name);
}

/* Takes the option at argv[*at]; advances over a value given as the next word. */
static int take_option(struct cmd_args *a, int argc, char **argv, int *at)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct cmd_option *o = find_option(a->command, name, len);
    const char *text = equals ? equals + 1 : NULL;
    if (!o)
        return fail_unknown_option(a->command, name, len);
    if (o->type == CMD_FLAG && text)
        return err_set(KT_ERR_INVALID, "option --%s takes no value", o->name);
    if (o->type != CMD_FLAG && !text) {
        if (*at + 1 >= argc)
            return err_set(KT_ERR_INVALID, "option --%s needs a value: %s", o->name, o->value);
        text = argv[++*at];
    }
    if (o->type != CMD_FLAG && !value_is_valid(o->type, text))
        return err_set(KT_ERR_INVALID, "option --%s: '%s' is not %s", o->name, text,
                       type_example(o->type));
    if (a->nvalues == CMD_VALUES_MAX)
        return err_set(KT_ERR_INVALID, "more than %d options", CMD_VALUES_MAX);
    a->json = a->json || o == &option_json;
    a->help = a->help || o == &option_help;
    a->values[a->nvalues++] = (struct cmd_value){o, text};
    return 0;
}

static int check_words(const struct command *c, const struct cmd_args *a)
{
    if (a->help)
        return 0;
    if (c->words_max >= 0 && a->nwords > c->words_max)
        return err_set(KT_ERR_INVALID, "unexpected '%s'; usage: kitten %s [OPTION]...%s%s",
                       a->words[c->words_max], c->name, *c->operands ? " " : "", c->operands);
    if (a->nwords < c->words_min)
        return err_set(KT_ERR_INVALID, "missing %s; usage: kitten %s [OPTION]... %s", c->operands,
                       c->name, c->operands);
    return 0;
}

static int parse_words(struct cmd_args *a, int argc, char **argv)
{
    bool only_words = false;
    int rc = 0;
    for (int i = 0; i < argc && rc == 0; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (!only_words && strcmp(argv[i], "-h") == 0)
            a->help = true;
        else if (!only_words && strncmp(argv[i], "--", 2) == 0)
            rc = take_option(a, argc, argv, &i);
        else if (!only_words && argv[i][0] == '-' && argv[i][1])
            rc = err_set(KT_ERR_INVALID, "unknown option '%s'; options begin with two dashes",
                         argv[i]);
        else
            a->words[a->nwords++] = argv[i];
    }
    return rc;
}

int cmd_parse(const struct command *c, int argc, char **argv, struct cmd_args *ret)
{
    struct cmd_args a = {.command = c};
    a.words = mem_zalloc(sizeof(*a.words) * (size_t)(argc + 1));
    int rc = parse_words(&a, argc, argv);
    if (rc == 0)
        rc = check_words(c, &a);
    if (rc < 0) {
        cmd_args_done(&a);
        return rc;
    }
    *ret = a;
    return 0;
}

void cmd_args_done(struct cmd_args *args)
{
    mem_free(args->words);
    args->words = NULL;
}

/* ---- values ---- */

static const struct cmd_option *own_option(const struct cmd_args *args, const char *name)
{
    const struct cmd_option *o = find_option(args->command, name, strlen(name));
    kt_assert(o != NULL);
    return o;
}

static const char *last_text(const struct cmd_args *args, const struct cmd_option *o)
{
    for (int i = args->nvalues - 1; i >= 0; i--)
        if (args->values[i].option == o)
            return args->values[i].text;
    return o->fallback;
}

bool cmd_given(const struct cmd_args *args, const char *name)
{
    const struct cmd_option *o = own_option(args, name);
    for (int i = 0; i < args->nvalues; i++)
        if (args->values[i].option == o)
            return true;
    return false;
}

bool cmd_flag(const struct cmd_args *args, const char *name)
{
    return cmd_given(args, name);
}

const char *cmd_text(const struct cmd_args *args, const char *name)
{
    return last_text(args, own_option(args, name));
}

const char *cmd_text_at(const struct cmd_args *args, const char *name, int i)
{
    const struct cmd_option *o = own_option(args, name);
    for (int v = 0; v < args->nvalues; v++)
        if (args->values[v].option == o && i-- == 0)
            return args->values[v].text;
    return NULL;
}

uint64_t cmd_count(const struct cmd_args *args, const char *name)
{
    const struct cmd_option *o = own_option(args, name);
    const char *text = last_text(args, o);
    uint64_t n = 0;
    if (!text)
        return 0;
    bool ok = o->type == CMD_SIZE ? cmd_read_size(text, &n) : dec_to_u64(slice_str(text), &n);
    kt_assert(ok);
    return n;
}

double cmd_real(const struct cmd_args *args, const char *name)
{
    const char *text = last_text(args, own_option(args, name));
    double d = 0;
    bool ok = !text || cmd_read_real(text, &d);
    kt_assert(ok);
    return d;
}

int64_t cmd_duration_ms(const struct cmd_args *args, const char *name)
{
    const char *text = last_text(args, own_option(args, name));
    int64_t ms = 0;
    bool ok = !text || cmd_read_duration(text, &ms);
    kt_assert(ok);
    return ms;
}

/* ---- running ---- */

int cmd_exit_code(int rc)
{
    switch (rc < 0 ? -rc : KT_OK) {
    case KT_OK:
        return rc;
    case KT_ERR_INVALID:
        return CMD_EXIT_USAGE;
    case KT_ERR_DENIED:
    case KT_ERR_UNAUTHENTICATED:
    case KT_ERR_SIGNATURE:
    case KT_ERR_EXPIRED:
    case KT_ERR_CLOCK_SKEW:
        return CMD_EXIT_AUTH;
    case KT_ERR_NOT_FOUND:
    case KT_ERR_NO_BUCKET:
    case KT_ERR_NO_ROUTE:
        return CMD_EXIT_NOT_FOUND;
    case KT_ERR_EXISTS:
    case KT_ERR_CONFLICT:
    case KT_ERR_PRECONDITION:
    case KT_ERR_LOCKED:
        return CMD_EXIT_CONFLICT;
    case KT_ERR_BUSY:
    case KT_ERR_NO_SPACE:
    case KT_ERR_NOT_HERE:
    case KT_ERR_UNAVAILABLE:
    case KT_ERR_TIMEOUT:
    case KT_ERR_CLOSED:
    case KT_ERR_LIMIT:
        return CMD_EXIT_UNAVAILABLE;
    case KT_ERR_CORRUPT:
    case KT_ERR_CHECKSUM:
    case KT_ERR_FENCED:
    case KT_ERR_FORMAT:
        return CMD_EXIT_DAMAGE;
    default:
        return CMD_EXIT_FAILURE;
    }
}

static int report(const char *name, int rc)
{
    fflush(stdout);
    fprintf(stderr, "kitten%s%s: %s\n", name ? " " : "", name ? name : "", err_text(rc));
    return cmd_exit_code(rc);
}

static int run_command(const struct command *c, int argc, char **argv)
{
    struct cmd_args args;
    kt_assert(c);
    int rc = cmd_parse(c, argc, argv, &args);
    if (rc < 0)
        return report(c->name, rc);
    if (args.help)
        help_command(stdout, c);
    else
        rc = c->run(&args);
    cmd_args_done(&args);
    if (rc < 0)
        return report(c->name, rc);
    /* A full disk or a closed pipe must not look like success. */
    if (fflush(stdout) != 0 || ferror(stdout))
        return report(c->name, err_sys(errno, "write to standard output"));
    return rc;
}

static int plant_bug(void)
{
    const char *bug = getenv("KITTEN_BUG");
#ifdef KT_FAULTS
    return bug ? fault_set_bug(bug) : 0;
#else
    if (bug)
        return err_set(KT_ERR_INVALID, "KITTEN_BUG is set, but this build has no planted bugs; "
                                       "configure with -Dfaults=true");
    return 0;
#endif
}

int cmd_main(int argc, char **argv)
{
    const struct command *c = NULL;
    int used = 0;
    int rc = plant_bug();
    if (rc < 0)
        return report(NULL, rc);
    if (argc < 2) {
        help_overview(stderr);
        return CMD_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help_overview(stdout);
        return 0;
    }
    char *version[] = {(char[]){"version"}};
    if (strcmp(argv[1], "--version") == 0)
        rc = cmd_find(1, version, &c, &used);
    else
        rc = cmd_find(argc - 1, argv + 1, &c, &used);
    if (rc < 0)
        return report(NULL, rc);
    return run_command(c, argc - 1 - used, argv + 1 + used);
}
