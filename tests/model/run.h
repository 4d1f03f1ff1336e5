/* run: executes a plan on a fresh simulated machine and judges it by the oracle. */
#ifndef KT_TESTS_MODEL_RUN_H
#define KT_TESTS_MODEL_RUN_H

#include "tests/model/oracle.h"
#include "tests/model/plan.h"

struct run_result {
    struct counters c;
    uint64_t trace;
    char first[400];                /* the first violation, empty when there was none */
    uint64_t calls[PLAN_LIVES_MAX]; /* persisting calls of each life since it was armed */
    bool fired[PLAN_LIVES_MAX];     /* its planned fault happened */
};

void run_plan(const struct plan *p, struct run_result *ret);
bool run_failed(const struct run_result *r);
void counters_add(struct counters *to, const struct counters *c);

#endif
