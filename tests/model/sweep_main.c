/* kitten-sweep: every persisting call of every scenario fails once, in every way.
 *
 * usage: kitten-sweep [--jobs N] [--variants N] [--only SCENARIO] [--stop-after N]
 *        kitten-sweep --case ID
 *
 * A scenario is a life that prepares a disk, perhaps one that is broken off by a crash, a life that
 * is watched, and lives that recover. Without a fault the watched life makes T persisting calls.
 * For each n in 1..T and each fault (EIO, ENOSPC, short, power cut before or after, kill after) the
 * scenario runs again with that fault at call n, on several seeds that decide what a cut keeps;
 * then the store is opened again and the oracle judges it. Coverage is printed: each (n, fault)
 * must have fired. */
#include "tests/model/batch.h"

#include "base/fault.h"
#include "base/rand.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_MAX 4096u
#define WATCHED 2 /* the life that is watched */
#define FAULTS (SIM_FAULT_COUNT - 1)

struct step {
    enum op_kind kind;
    int times;
};
struct scenario {
    const char *name;
    struct step prepare[8];
    struct step broken_off[4]; /* ended by `crash` at call `crash_at` (+ 3 for each variant) */
    enum sim_fault crash;
    uint64_t crash_at;
    bool from_open; /* watch the open as well */
    struct step watched[8];
    uint64_t limit_kib, fold_bytes;
};

static const struct scenario scenarios[] = {
    {.name = "put", .prepare = {{OP_PUT, 4}}, .watched = {{OP_PUT, 3}, {OP_PUT_MANY, 1}}},
    {.name = "delete", .prepare = {{OP_PUT, 8}}, .watched = {{OP_DELETE, 3}, {OP_UNDELETE, 4}}},
    {.name = "fold",
     .prepare = {{OP_PUT, 12}, {OP_DELETE, 8}},
     .watched = {{OP_DELETE, 3}, {OP_UNDELETE, 2}},
     .fold_bytes = 4096 + 32 * 4},
    {.name = "rollover",
     .prepare = {{OP_PUT, 6}},
     .watched = {{OP_SEAL, 1}, {OP_PUT, 16}, {OP_SLEEP, 1}},
     .limit_kib = 32},
    {.name = "compact",
     .prepare = {{OP_PUT, 14}, {OP_DELETE, 10}, {OP_SEAL, 1}, {OP_PUT, 2}, {OP_SLEEP, 8}},
     .watched = {{OP_COMPACT, 3}, {OP_PUT, 1}}},
    {.name = "create", .from_open = true, .watched = {{OP_PUT, 2}, {OP_DELETE, 1}}},
    {.name = "recover",
     .prepare = {{OP_PUT, 14}, {OP_DELETE, 3}, {OP_SEAL, 1}, {OP_PUT, 6}},
     .broken_off = {{OP_PUT, 3}, {OP_DELETE, 2}, {OP_PUT, 8}},
     .crash = SIM_FAULT_CUT_BEFORE,
     .crash_at = 2,
     .from_open = true,
     .watched = {{OP_PUT, 2}, {OP_DELETE, 1}}},
    {.name = "recover-killed",
     .prepare = {{OP_PUT, 10}, {OP_DELETE, 3}, {OP_SEAL, 1}, {OP_PUT, 6}},
     .broken_off = {{OP_PUT, 3}, {OP_DELETE, 2}, {OP_PUT, 8}},
     .crash = SIM_FAULT_KILL_AFTER,
     .crash_at = 3,
     .from_open = true,
     .watched = {{OP_PUT, 2}, {OP_DELETE, 1}}},
    {.name = "recover-sealing",
     .prepare = {{OP_PUT, 10}, {OP_DELETE, 3}},
     .broken_off = {{OP_SEAL, 1}, {OP_PUT, 4}},
     .crash = SIM_FAULT_CUT_AFTER,
     .crash_at = 2,
     .from_open = true,
     .watched = {{OP_PUT, 2}, {OP_DELETE, 1}}},
    {.name = "recover-folding",
     .prepare = {{OP_PUT, 12}, {OP_DELETE, 3}},
     .broken_off = {{OP_DELETE, 4}},
     .crash = SIM_FAULT_CUT_AFTER,
     .crash_at = 4,
     .from_open = true,
     .watched = {{OP_DELETE, 2}, {OP_UNDELETE, 2}},
     .fold_bytes = 4096 + 32 * 4},
    {.name = "recover-compacting",
     .prepare = {{OP_PUT, 14}, {OP_DELETE, 10}, {OP_SEAL, 1}, {OP_PUT, 2}, {OP_SLEEP, 8}},
     .broken_off = {{OP_COMPACT, 3}},
     .crash = SIM_FAULT_CUT_AFTER,
     .crash_at = 6,
     .from_open = true,
     .watched = {{OP_COMPACT, 2}, {OP_PUT, 1}}},
};
#define SCENARIOS KT_ARRAY_LEN(scenarios)

static struct {
    int jobs;
    uint64_t variants, stop_after, one;
    const char *only;
} opt = {.jobs = 2, .variants = 4};

static void add_steps(struct plan *p, const struct step *steps, int nsteps, int life,
                      uint64_t *dice)
{
    for (int i = 0; i < nsteps && steps[i].times > 0; i++) {
        for (int k = 0; k < steps[i].times; k++)
            p->ops[p->nops++] = (struct op){
                .kind = (uint8_t)steps[i].kind,
                .life = (uint8_t)life,
                .dice = rand_splitmix(dice),
            };
    }
}

static void make_plan(struct plan *p, const struct scenario *sc, enum sim_fault fault, uint64_t n,
                      uint64_t variant)
{
    uint64_t dice = 7;
    memset(p, 0, sizeof(*p));
    p->seed = 1000 + variant;
    p->sim.dir_reorder = variant % 2 == 1;
    p->plain = true;
    p->fibers = 1;
    p->nlives = 4;
    p->engine = (struct engine_options){
        .disks = 1,
        .volume_limit_bytes = KIB(sc->limit_kib ? sc->limit_kib : 512),
        .dead_fold_bytes = sc->fold_bytes,
        .undelete_window_s = 2,
        .idle_mark_ms = 500,
    };
    p->lives[0] = (struct life){.off = sc->prepare[0].times == 0};
    p->lives[1] = (struct life){.end = END_NTH_CALL,
                                .fault = sc->crash,
                                .nth = sc->crash_at + 3 * variant,
                                .arm_late = true,
                                .off = sc->crash == SIM_FAULT_NONE};
    p->lives[WATCHED] = (struct life){.end = END_NTH_CALL,
                                      .fault = fault,
                                      .nth = n,
                                      .arm_late = !sc->from_open,
                                      .power_off = true};
    if (variant % 2 == 1) /* the recovery is cut, too */
        p->lives[3] = (struct life){
            .end = END_NTH_CALL, .fault = SIM_FAULT_CUT_AFTER, .nth = 1 + (n + variant) % 9};
    add_steps(p, sc->prepare, 8, 0, &dice);
    add_steps(p, sc->broken_off, 4, 1, &dice);
    add_steps(p, sc->watched, 8, WATCHED, &dice);
}

/* A case's number: scenario, fault, n, variant. */
static uint64_t totals[SCENARIOS];

static uint64_t case_id(uint64_t scenario, uint64_t fault, uint64_t n, uint64_t variant)
{
    return ((scenario * FAULTS + fault - 1) * N_MAX + n - 1) * opt.variants + variant;
}

struct which {
    uint64_t scenario, n, variant;
    enum sim_fault fault;
};

static struct which case_of(uint64_t id)
{
    struct which w;
    w.variant = id % opt.variants;
    id /= opt.variants;
    w.n = id % N_MAX + 1;
    id /= N_MAX;
    w.fault = (enum sim_fault)(id % FAULTS + 1);
    w.scenario = id / FAULTS;
    return w;
}

static uint64_t *case_list;
static uint64_t case_count;

static bool run_case(uint64_t index, struct counters *c, char text[BATCH_TEXT_MAX])
{
    static struct plan p;
    struct run_result r;
    struct which w = case_of(case_list[index]);
    make_plan(&p, &scenarios[w.scenario], w.fault, w.n, w.variant);
    run_plan(&p, &r);
    counters_add(c, &r.c);
    const char *what = run_failed(&r) ? r.first : NULL;
    if (what == NULL && w.variant == 0 && !r.fired[WATCHED])
        what = "the fault never happened: not covered";
    if (what == NULL)
        return true;
    snprintf(text, BATCH_TEXT_MAX, "%s, %s at call %llu of %llu, variant %llu: %s",
             scenarios[w.scenario].name, sim_fault_name(w.fault), (unsigned long long)w.n,
             (unsigned long long)totals[w.scenario], (unsigned long long)w.variant, what);
    return false;
}

/* Persisting calls of the watched life without a fault; 0 when it fails. */
static uint64_t measure(const struct scenario *sc)
{
    static struct plan p;
    struct run_result r;
    make_plan(&p, sc, SIM_FAULT_NONE, 0, 0);
    run_plan(&p, &r);
    const char *why = run_failed(&r) ? r.first : NULL;
    if (why == NULL && sc->crash != SIM_FAULT_NONE && !r.fired[1])
        why = "it ends before the crash that shall break it off";
    if (why == NULL)
        return KT_MIN(r.calls[WATCHED], (uint64_t)N_MAX);
    printf("FAILED %s without any fault: %s\n", sc->name, why);
    return 0;
}

static void list_cases(void)
{
    case_list = calloc(SCENARIOS * FAULTS * N_MAX * opt.variants, sizeof(*case_list));
    for (uint64_t s = 0; s < SCENARIOS; s++) {
        if (opt.only != NULL && strcmp(opt.only, scenarios[s].name) != 0)
            continue;
        totals[s] = measure(&scenarios[s]);
        for (uint64_t f = 1; f <= FAULTS; f++) {
            for (uint64_t n = 1; n <= totals[s]; n++) {
                /* what a cut keeps is up to the seed; other faults need one run */
                bool cut = f == SIM_FAULT_CUT_BEFORE || f == SIM_FAULT_CUT_AFTER;
                for (uint64_t v = 0; v < (cut ? opt.variants : 1); v++)
                    case_list[case_count++] = case_id(s, f, n, v);
            }
        }
    }
}

static int run_one(uint64_t index)
{
    static struct plan p;
    struct run_result r;
    if (index >= case_count)
        return 2;
    struct which w = case_of(case_list[index]);
    make_plan(&p, &scenarios[w.scenario], w.fault, w.n, w.variant);
    setenv("KITTEN_MODEL_VERBOSE", "1", 1);
    plan_print(&p);
    run_plan(&p, &r);
    printf("%s\n", run_failed(&r) ? r.first : "passed");
    return run_failed(&r);
}

static void parse(int argc, char **argv)
{
    opt.one = UINT64_MAX;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t v = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--jobs") == 0)
            opt.jobs = (int)v;
        else if (strcmp(argv[i], "--variants") == 0)
            opt.variants = KT_MAX(v, 1u);
        else if (strcmp(argv[i], "--stop-after") == 0)
            opt.stop_after = v;
        else if (strcmp(argv[i], "--case") == 0)
            opt.one = v;
        else if (strcmp(argv[i], "--only") == 0)
            opt.only = argv[i + 1];
    }
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    const char *bug = getenv("KITTEN_BUG");
    if (bug != NULL && fault_set_bug(bug) < 0) {
        fprintf(stderr, "kitten-sweep: no planted bug is called '%s'\n", bug);
        return 2;
    }
    list_cases();
    if (opt.one != UINT64_MAX)
        return run_one(opt.one);
    static struct batch_result r;
    if (case_count > 0) {
        struct batch all = {0, case_count - 1, opt.jobs, 30, opt.stop_after, run_case};
        batch_run(&all, &r);
    }
    for (int i = 0; i < r.nfailures; i++)
        printf("FAILED case %llu: %s\n", (unsigned long long)r.failures[i].id, r.failures[i].text);
    for (uint64_t s = 0; s < SCENARIOS; s++) {
        bool chosen = opt.only == NULL || strcmp(opt.only, scenarios[s].name) == 0;
        if (!chosen)
            continue;
        printf("%-20s %4llu persisting calls x %d faults\n", scenarios[s].name,
               (unsigned long long)totals[s], (int)FAULTS);
        if (totals[s] == 0)
            r.failed++;
    }
    batch_print_counters(&r.c);
    printf("%llu passed, %llu failed\n", (unsigned long long)(r.done - KT_MIN(r.done, r.failed)),
           (unsigned long long)r.failed);
    return r.failed != 0;
}
