/* heap: order, removal from any place, against sorting by hand. */
#include "tests/lib/unit.h"

#include "base/heap.h"
#include "base/macros.h"
#include "base/rand.h"

#define NODES 400u

static void comes_out_in_order(void **state)
{
    (void)state;
    struct heap h = {0};
    struct heap_node nodes[6];
    static const int64_t keys[6] = {5, INT64_MIN, 3, INT64_MAX, 3, -1};
    static const int64_t want[6] = {INT64_MIN, -1, 3, 3, 5, INT64_MAX};
    assert_null(heap_first(&h));
    for (int i = 0; i < 6; i++) {
        heap_node_init(&nodes[i]);
        heap_insert(&h, &nodes[i], keys[i]);
    }
    for (int i = 0; i < 6; i++) {
        struct heap_node *n = heap_first(&h);
        assert_true(n->key == want[i]);
        heap_remove(&h, n);
        heap_remove(&h, n); /* harmless */
        assert_int_equal(n->slot, HEAP_IDLE);
    }
    heap_done(&h);
}

static void random_insertions_and_removals(void **state)
{
    (void)state;
    struct heap h = {0};
    struct heap_node nodes[NODES];
    struct rand_state r;
    rand_init(&r, 3);
    for (uint32_t i = 0; i < NODES; i++)
        heap_node_init(&nodes[i]);
    for (int step = 0; step < 20000; step++) {
        struct heap_node *n = &nodes[rand_below(&r, NODES)];
        if (n->slot == HEAP_IDLE)
            heap_insert(&h, n, (int64_t)rand_below(&r, 100));
        else
            heap_remove(&h, n);
        int64_t least = INT64_MAX;
        uint32_t live = 0;
        for (uint32_t i = 0; i < NODES; i++) {
            if (nodes[i].slot != HEAP_IDLE) {
                live++;
                least = KT_MIN(least, nodes[i].key);
            }
        }
        assert_int_equal(live, h.len);
        if (live)
            assert_true(heap_first(&h)->key == least);
    }
    heap_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_out_in_order),
        cmocka_unit_test(random_insertions_and_removals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
