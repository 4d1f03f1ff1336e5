/* kitten-model: random operations, crashes and faults against the store, judged by an oracle.
 *
 * usage: kitten-model [--seeds A..B | --fresh N] [--jobs N] [--once] [--faults MASK]
 *                     [--stop-after N]
 *        kitten-model --seed N [--shrink] [--verbose]
 *        kitten-model --regressions FILE
 *
 * KITTEN_BUG=name plants a bug (builds with -Dfaults=true). Each seed runs twice and must give the
 * same trace. Exits 0 when no seed fails. */
#include "tests/model/batch.h"

#include "base/enc.h"
#include "base/fault.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
    uint64_t first, last, seed, stop_after;
    uint32_t classes;
    int jobs;
    bool once, shrink, verbose, one;
    const char *regressions;
} opt = {.first = 1, .last = 100, .jobs = 2, .classes = UINT32_MAX};

static bool run_seed(uint64_t seed, struct counters *c, char text[BATCH_TEXT_MAX])
{
    static struct plan plan;
    struct run_result a, b;
    plan_make(&plan, seed, opt.classes);
    run_plan(&plan, &a);
    counters_add(c, &a.c);
    if (run_failed(&a)) {
        snprintf(text, BATCH_TEXT_MAX, "%s", a.first);
        return false;
    }
    if (opt.once)
        return true;
    run_plan(&plan, &b);
    if (a.trace == b.trace)
        return true;
    snprintf(text, BATCH_TEXT_MAX, "not deterministic: traces %llx and %llx",
             (unsigned long long)a.trace, (unsigned long long)b.trace);
    return false;
}

static bool report(const struct batch_result *r)
{
    for (int i = 0; i < r->nfailures; i++)
        printf("FAILED seed %llu: %s\n", (unsigned long long)r->failures[i].id,
               r->failures[i].text);
    return r->failed == 0;
}

static bool plan_fails(const struct plan *p)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
        alarm(20);
        struct run_result r;
        run_plan(p, &r);
        _exit(run_failed(&r) ? 1 : 0);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        ;
    return status != 0;
}

static int run_one(void)
{
    static struct plan plan;
    struct run_result r;
    plan_make(&plan, opt.seed, opt.classes);
    if (opt.shrink) {
        if (!plan_fails(&plan)) {
            printf("seed %llu passes\n", (unsigned long long)opt.seed);
            return 0;
        }
        plan_shrink(&plan, plan_fails);
    }
    if (opt.verbose)
        setenv("KITTEN_MODEL_VERBOSE", "1", 1);
    plan_print(&plan);
    run_plan(&plan, &r);
    batch_print_counters(&r.c);
    printf("trace %llx\n%s%s\n", (unsigned long long)r.trace,
           run_failed(&r) ? "FAILED: " : "passed", r.first);
    return run_failed(&r);
}

#define PAST_MAX 256

/* Lines "SEED  # what it was"; blank lines and comments are skipped. The file is closed before
 * anything runs: a child's exit would set its position back. */
static int read_regressions(char lines[PAST_MAX][160])
{
    FILE *f = fopen(opt.regressions, "r");
    int n = 0;
    if (f == NULL) {
        perror(opt.regressions);
        return -1;
    }
    while (n < PAST_MAX && fgets(lines[n], sizeof(lines[n]), f) != NULL)
        n += strtoull(lines[n], NULL, 10) != 0;
    fclose(f);
    return n;
}

static int run_regressions(void)
{
    static char lines[PAST_MAX][160];
    int n = read_regressions(lines), passed = 0, failed = 0;
    for (int i = 0; i < n; i++) {
        uint64_t seed = strtoull(lines[i], NULL, 10);
        struct batch one = {.first = seed, .last = seed, .jobs = 1, .limit_s = 60, .fn = run_seed};
        static struct batch_result r;
        batch_run(&one, &r);
        printf("%s - seed %s", report(&r) ? "ok" : "not ok", lines[i]);
        *(r.failed == 0 ? &passed : &failed) += 1;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return n <= 0 || failed != 0;
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 0);
    if (end == text || (*end != '\0' && *end != '.')) {
        fprintf(stderr, "kitten-model: '%s' is not a number\n", text);
        exit(2);
    }
    return v;
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";
        bool takes = true;
        if (strcmp(a, "--seeds") == 0) {
            const char *dots = strstr(v, "..");
            opt.first = number(v);
            opt.last = dots ? number(dots + 2) : opt.first;
        } else if (strcmp(a, "--fresh") == 0) { /* seeds that nobody has tried; they are printed */
            opt.first = (uint64_t)time(NULL) * 1000000;
            opt.last = opt.first + number(v) - 1;
        } else if (strcmp(a, "--seed") == 0) {
            opt.seed = number(v);
            opt.one = true;
        } else if (strcmp(a, "--jobs") == 0) {
            opt.jobs = (int)number(v);
        } else if (strcmp(a, "--faults") == 0) {
            opt.classes = (uint32_t)number(v);
        } else if (strcmp(a, "--stop-after") == 0) {
            opt.stop_after = number(v);
        } else if (strcmp(a, "--regressions") == 0) {
            opt.regressions = v;
        } else {
            takes = false;
            opt.once |= strcmp(a, "--once") == 0;
            opt.shrink |= strcmp(a, "--shrink") == 0;
            opt.verbose |= strcmp(a, "--verbose") == 0;
        }
        i += takes;
    }
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    const char *bug = getenv("KITTEN_BUG");
    if (bug != NULL && fault_set_bug(bug) < 0) {
        fprintf(stderr, "kitten-model: no planted bug is called '%s'\n", bug);
        return 2;
    }
    if (opt.regressions != NULL)
        return run_regressions();
    if (opt.one)
        return run_one();
    static struct batch_result r;
    struct batch all = {opt.first, opt.last, opt.jobs, 60, opt.stop_after, run_seed};
    batch_run(&all, &r);
    bool fine = report(&r);
    printf("seeds %llu..%llu%s\n", (unsigned long long)opt.first, (unsigned long long)opt.last,
           opt.once ? "" : ", each twice");
    batch_print_counters(&r.c);
    printf("%llu passed, %llu failed\n", (unsigned long long)(r.done - r.failed),
           (unsigned long long)r.failed);
    return !fine;
}
