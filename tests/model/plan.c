/* plan: see plan.h. Shrinking is delta debugging: drop lives, fault classes and ever smaller runs
 * of operations. */
#include "tests/model/plan.h"

#include "base/rand.h"
#include <stdio.h>
#include <string.h>

static const char *const op_names[OP_KIND_COUNT] = {
    "put",   "put-many", "get",  "range",   "delete", "undelete",    "get-dead",
    "wrong", "sleep",    "seal", "compact", "scrub",  "drop-bucket", "break-disk",
};
static const char *const class_names[CLASS_COUNT] = {
    "cut",   "kill", "sync-eio", "write-eio", "read-eio", "short",
    "stall", "full", "rot",      "reorder",   "broken",
};
/* Shares of each kind of operation. */
static const uint8_t weights[OP_KIND_COUNT] = {32, 4, 18, 6, 14, 5, 2, 5, 4, 2, 5, 1, 1, 0};

const char *op_name(enum op_kind k)
{
    return (unsigned)k < OP_KIND_COUNT ? op_names[k] : "?";
}

static enum op_kind pick_kind(struct rand_state *r)
{
    uint32_t sum = 0;
    for (int i = 0; i < OP_KIND_COUNT; i++)
        sum += weights[i];
    uint32_t dice = (uint32_t)rand_below(r, sum);
    int k = 0;
    while (dice >= weights[k])
        dice -= weights[k++];
    return (enum op_kind)k;
}

static void choose_classes(struct plan *p, struct rand_state *r, uint32_t only)
{
    static const uint8_t percent[CLASS_COUNT] = {60, 40, 20, 10, 8, 30, 10, 12, 10, 50, 5};
    for (int i = 0; i < CLASS_COUNT; i++) {
        if (rand_below(r, 100) < percent[i])
            p->classes |= 1u << i;
    }
    p->classes &= only;
}

/* Rates that go with the chosen classes (again after shrinking). */
void plan_apply_classes(struct plan *p)
{
    uint32_t c = p->classes;
    p->sim.sync_eio_ppm = c & CLASS_SYNC_EIO ? 8000 : 0;
    p->sim.write_eio_ppm = c & CLASS_WRITE_EIO ? 4000 : 0;
    p->sim.read_eio_ppm = c & CLASS_READ_EIO ? 4000 : 0;
    p->sim.short_read_ppm = p->sim.short_write_ppm = c & CLASS_SHORT ? 100000 : 0;
    p->sim.stall_ppm = c & CLASS_STALL ? 5000 : 0;
    p->sim.no_space_ppm = c & CLASS_FULL ? 5000 : 0;
    p->sim.dir_reorder = (c & CLASS_REORDER) != 0;
    p->sim.capacity_bytes = c & CLASS_FULL ? KIB(300 + p->seed % 7 * 150) : MIB(64);
}

static void make_lives(struct plan *p, struct rand_state *r)
{
    p->nlives = 2 + (int)rand_below(r, PLAN_LIVES_MAX - 2);
    for (int i = 0; i < p->nlives; i++) {
        struct life *l = &p->lives[i];
        bool cut = (p->classes & CLASS_CUT) && rand_below(r, 3) > 0;
        bool kill = (p->classes & CLASS_KILL) && rand_below(r, 3) == 0;
        l->end = cut || kill ? END_NTH_CALL : END_CLOSE;
        l->fault = !cut               ? SIM_FAULT_KILL_AFTER
                   : rand_below(r, 3) ? SIM_FAULT_CUT_AFTER
                                      : SIM_FAULT_CUT_BEFORE;
        l->power_off = (p->classes & CLASS_CUT) && rand_below(r, 2) == 0;
        l->one_disk = p->engine.disks > 1 && rand_below(r, 12) == 0;
        l->no_index = rand_below(r, 6) == 0;
        if (rand_below(r, 8) == 0)
            l->jump_s = (uint32_t)rand_below(r, rand_below(r, 2) ? 300 : 100000);
        l->nth = 1 + rand_below(r, rand_below(r, 4) ? 150 : 20);
    }
}

void plan_make(struct plan *p, uint64_t seed, uint32_t only)
{
    static const uint16_t limits_kib[] = {48, 64, 96, 160, 256, 512};
    struct rand_state r;
    memset(p, 0, sizeof(*p));
    p->seed = seed;
    rand_init(&r, seed);
    choose_classes(p, &r, only);
    plan_apply_classes(p);
    p->sim.cold_ppm = rand_below(&r, 2) ? 300000 : 0;
    p->engine.disks = rand_below(&r, 3) ? 1 : 2;
    p->engine.volume_limit_bytes = KIB(limits_kib[rand_below(&r, p->classes & CLASS_FULL ? 2 : 6)]);
    p->engine.dead_fold_bytes = rand_below(&r, 2) ? 4096 + 32 + rand_below(&r, 1000) : 0;
    p->engine.reserve_bytes = p->classes & CLASS_FULL ? KIB(120) : 0;
    p->engine.undelete_window_s = 1 + (uint32_t)rand_below(&r, 60);
    p->engine.idle_mark_ms = 20 + (uint32_t)rand_below(&r, 1000);
    p->engine.background = rand_below(&r, 3) == 0;
    p->fibers = 1 + (int)rand_below(&r, PLAN_FIBERS_MAX);
    p->engine.zero_fill_bytes = rand_below(&r, 3) ? 0 : 4096 * (1 + rand_below(&r, 16));
    p->engine.open_volumes_max = 1 + (uint32_t)rand_below(&r, 3);
    make_lives(p, &r);
    p->nops = 20 + (uint32_t)rand_below(&r, rand_below(&r, 3) ? 200 : PLAN_OPS_MAX - 20);
    for (uint32_t i = 0; i < p->nops; i++) {
        p->ops[i] = (struct op){
            .kind = (uint8_t)pick_kind(&r),
            .fiber = (uint8_t)rand_below(&r, (uint64_t)p->fibers),
            .life = (uint8_t)((uint64_t)i * (uint64_t)p->nlives / p->nops),
            .dice = rand_u64(&r),
        };
    }
    if (p->classes & CLASS_BROKEN)
        p->ops[rand_below(&r, p->nops)].kind = OP_BREAK;
}

void plan_print(const struct plan *p)
{
    printf("plan: seed %llu, faults:", (unsigned long long)p->seed);
    for (int i = 0; i < CLASS_COUNT; i++) {
        if (p->classes & (1u << i))
            printf(" %s", class_names[i]);
    }
    printf("; %d disks, volumes of %llu, fold %llu, window %u s, mark %u ms%s\n", p->engine.disks,
           (unsigned long long)p->engine.volume_limit_bytes,
           (unsigned long long)p->engine.dead_fold_bytes, p->engine.undelete_window_s,
           p->engine.idle_mark_ms, p->engine.background ? ", background jobs" : "");
    for (int l = 0; l < p->nlives; l++) {
        if (p->lives[l].off)
            continue;
        printf("  life %d, ends by %s", l,
               p->lives[l].end == END_CLOSE ? "close" : sim_fault_name(p->lives[l].fault));
        if (p->lives[l].end == END_NTH_CALL)
            printf(" at call %llu", (unsigned long long)p->lives[l].nth);
        printf("%s%s%s:", p->lives[l].power_off ? ", power off" : "",
               p->lives[l].one_disk ? ", one disk only" : "",
               p->lives[l].no_index ? ", no index" : "");
        for (uint32_t i = 0; i < p->nops; i++) {
            if (p->ops[i].life == l && !p->ops[i].off)
                printf(" %u/%s", p->ops[i].fiber, op_name(p->ops[i].kind));
        }
        printf("\n");
    }
}

/* ---- shrinking ---- */

static bool still_fails(struct plan *p, const struct plan *smaller,
                        bool (*fails)(const struct plan *p))
{
    if (!fails(smaller))
        return false;
    *p = *smaller;
    return true;
}

static void drop_ops(struct plan *p, bool (*fails)(const struct plan *p))
{
    static struct plan t;
    for (uint32_t run = p->nops; run >= 1; run /= 2) {
        for (uint32_t at = 0; at < p->nops; at += run) {
            t = *p;
            bool any = false;
            for (uint32_t i = at; i < KT_MIN(at + run, p->nops); i++) {
                any |= !t.ops[i].off;
                t.ops[i].off = true;
            }
            if (any)
                still_fails(p, &t, fails);
        }
    }
}

void plan_shrink(struct plan *p, bool (*fails)(const struct plan *p))
{
    static struct plan t;
    for (int i = 0; i < CLASS_COUNT; i++) {
        t = *p;
        t.classes &= ~(1u << i);
        plan_apply_classes(&t);
        if (t.classes != p->classes)
            still_fails(p, &t, fails);
    }
    for (int i = 0; i < p->nlives; i++) {
        t = *p;
        t.lives[i].off = true;
        if (still_fails(p, &t, fails) || p->lives[i].end == END_CLOSE)
            continue;
        t = *p;
        t.lives[i].end = END_CLOSE;
        still_fails(p, &t, fails);
    }
    drop_ops(p, fails);
    t = *p;
    for (uint32_t i = 0; i < t.nops; i++)
        t.ops[i].fiber = 0;
    still_fails(p, &t, fails);
    drop_ops(p, fails);
}
