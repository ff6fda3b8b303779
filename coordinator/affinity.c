#include "coordinator/affinity.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* Below this weight, in transactions, a pair or an account that has not moved is forgotten. */
#define FADED 0.5
/* A pair joins groups if it is this part of what one of its accounts does. */
#define JOIN_PART 0.15
/* A plan is worth while if this part of all pairs' weight goes across shards. */
#define PLAN_PART 0.02
/* A shard takes up to this times its fair load. */
#define FULL  1.25
#define NEVER UINT8_MAX

typedef struct {
    coh_addr_t addr;
    uint16_t bucket;
    uint16_t shard;  /* while planning */
    uint8_t moves;   /* NEVER: it stays */
    double load;     /* gas */
    double strength; /* while planning: weight of its pairs */
    uint32_t parent; /* while planning: of its group, union-find */
} node_t;

typedef struct {
    coh_addr_t a, b;
    double weight;
    uint32_t x, y; /* while planning: nodes */
} edge_t;

/* While planning: a group, by its root. */
typedef struct {
    uint32_t root;
    double load;
    double across; /* weight of pairs within it that lie on two shards */
} group_t;

struct coh_affinity {
    uint32_t shard_cnt;
    node_t *nodes; /* by address */
    size_t node_cnt;
    edge_t *edges; /* by addresses */
    size_t edge_cnt;
    node_t *new_nodes; /* of the reports, in their order */
    size_t new_node_cnt, new_node_cap;
    edge_t *new_edges;
    size_t new_edge_cnt, new_edge_cap;
    uint8_t *has_reported; /* by shard */
    uint32_t reported_cnt;
    uint64_t tx_cnt, across_cnt;
    size_t plan_max; /* accounts in the next plan */
    bool has_moved;
    coh_affinity_figures_t figures;
};

coh_affinity_t *coh_affinity_new(uint32_t shard_cnt)
{
    coh_affinity_t *af = coh_calloc(1, sizeof(*af));
    af->shard_cnt      = shard_cnt;
    af->plan_max       = COH_AFFINITY_PLAN_MAX;
    af->has_reported   = coh_calloc(shard_cnt, 1);
    return af;
}

void coh_affinity_free(coh_affinity_t *af)
{
    if (af != NULL) {
        free(af->nodes);
        free(af->edges);
        free(af->new_nodes);
        free(af->new_edges);
        free(af->has_reported);
        free(af);
    }
}

coh_affinity_figures_t coh_affinity_figures(coh_affinity_t const *af) { return af->figures; }

/* ---- what is known ---- */

static int compare_addrs(coh_addr_t const *a, coh_addr_t const *b)
{
    return memcmp(a->b, b->b, sizeof(a->b));
}

static int by_address(void const *a, void const *b)
{
    return compare_addrs(&((node_t const *)a)->addr, &((node_t const *)b)->addr);
}

static int by_addresses(void const *a, void const *b)
{
    edge_t const *x = a;
    edge_t const *y = b;
    int d           = compare_addrs(&x->a, &y->a);
    return d != 0 ? d : compare_addrs(&x->b, &y->b);
}

static node_t *find_node(coh_affinity_t const *af, coh_addr_t const *addr)
{
    node_t wanted = {.addr = *addr};
    return af->node_cnt == 0
               ? NULL
               : bsearch(&wanted, af->nodes, af->node_cnt, sizeof(*af->nodes), by_address);
}

bool coh_affinity_report(coh_affinity_t *af, uint32_t shard, coh_msg_usage_t const *m)
{
    for (uint32_t i = 0; i < m->loads.cnt && af->new_node_cnt < 2 * COH_AFFINITY_NODES; i++) {
        if (af->new_node_cnt == af->new_node_cap) {
            af->new_node_cap = 2 * af->new_node_cap + 1024;
            af->new_nodes = coh_realloc(af->new_nodes, af->new_node_cap * sizeof(*af->new_nodes));
        }
        af->new_nodes[af->new_node_cnt++] =
            (node_t){.addr = m->loads.v[i].addr, .load = (double)m->loads.v[i].gas};
    }
    for (uint32_t i = 0; i < m->pairs.cnt && af->new_edge_cnt < 2 * COH_AFFINITY_EDGES; i++) {
        coh_rec_pair_t const *p = &m->pairs.v[i];
        if (compare_addrs(&p->a, &p->b) >= 0) {
            continue; /* no pair */
        }
        if (af->new_edge_cnt == af->new_edge_cap) {
            af->new_edge_cap = 2 * af->new_edge_cap + 1024;
            af->new_edges = coh_realloc(af->new_edges, af->new_edge_cap * sizeof(*af->new_edges));
        }
        af->new_edges[af->new_edge_cnt++] =
            (edge_t){.a = p->a, .b = p->b, .weight = (double)p->cnt};
    }
    af->tx_cnt += m->tx_cnt;
    af->across_cnt += m->across_cnt;
    af->reported_cnt += af->has_reported[shard] == 0;
    af->has_reported[shard] = 1;
    return af->reported_cnt == af->shard_cnt;
}

static int by_falling_load(void const *a, void const *b)
{
    node_t const *x = a;
    node_t const *y = b;
    int d           = (x->load < y->load) - (x->load > y->load);
    return d != 0 ? d : by_address(a, b);
}

static int by_falling_weight(void const *a, void const *b)
{
    edge_t const *x = a;
    edge_t const *y = b;
    int d           = (x->weight < y->weight) - (x->weight > y->weight);
    return d != 0 ? d : by_addresses(a, b);
}

/* Halves what is known, and adds the reports' accounts. */
static void merge_nodes(coh_affinity_t *af)
{
    size_t cnt = af->node_cnt + af->new_node_cnt;
    af->nodes  = coh_realloc(af->nodes, (cnt + 1) * sizeof(*af->nodes));
    for (size_t i = 0; i < af->node_cnt; i++) {
        af->nodes[i].load /= 2;
    }
    if (af->new_node_cnt != 0) {
        memcpy(af->nodes + af->node_cnt, af->new_nodes, af->new_node_cnt * sizeof(*af->nodes));
        qsort(af->nodes, cnt, sizeof(*af->nodes), by_address);
    }
    size_t kept = 0;
    for (size_t i = 0; i < cnt;) {
        node_t sum = af->nodes[i];
        for (i++; i < cnt && coh_addr_eq(&af->nodes[i].addr, &sum.addr); i++) {
            sum.load += af->nodes[i].load;
            sum.moves = COH_MAX(sum.moves, af->nodes[i].moves);
        }
        if (sum.load >= FADED || sum.moves != 0) {
            af->nodes[kept++] = sum;
        }
    }
    if (kept > COH_AFFINITY_NODES) {
        qsort(af->nodes, kept, sizeof(*af->nodes), by_falling_load);
        kept = COH_AFFINITY_NODES;
        qsort(af->nodes, kept, sizeof(*af->nodes), by_address);
    }
    af->node_cnt     = kept;
    af->new_node_cnt = 0;
}

static void merge_edges(coh_affinity_t *af)
{
    size_t cnt = af->edge_cnt + af->new_edge_cnt;
    af->edges  = coh_realloc(af->edges, (cnt + 1) * sizeof(*af->edges));
    for (size_t i = 0; i < af->edge_cnt; i++) {
        af->edges[i].weight /= 2;
    }
    if (af->new_edge_cnt != 0) {
        memcpy(af->edges + af->edge_cnt, af->new_edges, af->new_edge_cnt * sizeof(*af->edges));
    }
    if (cnt != 0) {
        qsort(af->edges, cnt, sizeof(*af->edges), by_addresses);
    }
    size_t kept = 0;
    for (size_t i = 0; i < cnt;) {
        edge_t sum = af->edges[i];
        for (i++; i < cnt && by_addresses(&af->edges[i], &sum) == 0; i++) {
            sum.weight += af->edges[i].weight;
        }
        if (sum.weight >= FADED) {
            af->edges[kept++] = sum;
        }
    }
    if (kept != 0) {
        qsort(af->edges, kept, sizeof(*af->edges), by_falling_weight);
    }
    af->edge_cnt     = COH_MIN(kept, (size_t)COH_AFFINITY_EDGES);
    af->new_edge_cnt = 0;
}

/* ---- groups ---- */

static uint32_t root_of(coh_affinity_t *af, uint32_t i)
{
    node_t *nodes = af->nodes;
    while (nodes[i].parent != i) {
        nodes[i].parent = nodes[nodes[i].parent].parent;
        i               = nodes[i].parent;
    }
    return i;
}

/* Finds where everything is, and drops edges of accounts that are not known. Returns the load of all. */
static double locate(coh_affinity_t *af, coh_directory_t const *dir)
{
    double all = 0;
    for (size_t i = 0; i < af->node_cnt; i++) {
        node_t *n   = &af->nodes[i];
        n->bucket   = (uint16_t)coh_directory_bucket(&n->addr);
        n->shard    = (uint16_t)coh_directory_owner(dir, &n->addr, n->bucket);
        n->strength = 0;
        n->parent   = (uint32_t)i;
        all += n->load;
    }
    size_t kept = 0;
    for (size_t i = 0; i < af->edge_cnt; i++) {
        edge_t e        = af->edges[i];
        node_t const *x = find_node(af, &e.a);
        node_t const *y = find_node(af, &e.b);
        if (x != NULL && y != NULL) {
            e.x = (uint32_t)(x - af->nodes);
            e.y = (uint32_t)(y - af->nodes);
            af->nodes[e.x].strength += e.weight;
            af->nodes[e.y].strength += e.weight;
            af->edges[kept++] = e;
        }
    }
    af->edge_cnt = kept;
    return all;
}

/* Joins groups along the heaviest pairs. load: by node, of the groups of which they are roots. */
static void join(coh_affinity_t *af, double *load, double load_max)
{
    for (size_t i = 0; i < af->node_cnt; i++) {
        load[i] = af->nodes[i].load;
    }
    for (size_t i = 0; i < af->edge_cnt; i++) {
        edge_t const *e = &af->edges[i];
        uint32_t x      = root_of(af, e->x);
        uint32_t y      = root_of(af, e->y);
        double least    = COH_MIN(af->nodes[e->x].strength, af->nodes[e->y].strength);
        if (x != y && e->weight >= JOIN_PART * least && load[x] + load[y] <= load_max) {
            uint32_t lower                  = COH_MIN(x, y);
            af->nodes[COH_MAX(x, y)].parent = lower;
            load[lower]                     = load[x] + load[y];
        }
    }
}

static int by_falling_across(void const *a, void const *b)
{
    group_t const *x = a;
    group_t const *y = b;
    int d            = (x->across < y->across) - (x->across > y->across);
    return d != 0 ? d : (x->root > y->root) - (x->root < y->root);
}

/* The shard that a group should be on: that with most of it, if there is room. parts: its load by shard. */
static uint32_t choose(double const *parts,
                       double const *used,
                       uint32_t shard_cnt,
                       double load,
                       double full)
{
    uint32_t emptiest = 0;
    uint32_t best     = UINT32_MAX;
    for (uint32_t s = 0; s < shard_cnt; s++) {
        emptiest = used[s] < used[emptiest] ? s : emptiest;
        if (parts[s] > 0 && used[s] + load <= full &&
            (best == UINT32_MAX || parts[s] > parts[best])) {
            best = s;
        }
    }
    return best != UINT32_MAX ? best : emptiest;
}

/* Gives each group its shard. groups: those that lie on several; used: load of the shards so far. */
static size_t assign(coh_affinity_t *af,
                     group_t const *groups,
                     size_t group_cnt,
                     uint32_t const *group_of, /* by root: 1 + place in groups; 0: it stays */
                     double *used,
                     double full,
                     coh_override_t *out)
{
    size_t cnt       = 0;
    double *parts    = coh_calloc(af->shard_cnt, sizeof(*parts));
    uint32_t *first  = coh_calloc(group_cnt + 1, sizeof(*first)); /* members, linked */
    uint32_t *linked = coh_calloc(af->node_cnt + 1, sizeof(*linked));
    for (size_t i = af->node_cnt; i-- > 0;) {
        uint32_t g = group_of[root_of(af, (uint32_t)i)];
        if (g != 0) {
            linked[i]    = first[g - 1];
            first[g - 1] = (uint32_t)i + 1;
        }
    }
    for (size_t g = 0; g < group_cnt; g++) {
        memset(parts, 0, af->shard_cnt * sizeof(*parts));
        for (uint32_t i = first[g]; i != 0; i = linked[i - 1]) {
            parts[af->nodes[i - 1].shard] += af->nodes[i - 1].load;
        }
        uint32_t to = choose(parts, used, af->shard_cnt, groups[g].load, full);
        for (uint32_t i = first[g]; i != 0; i = linked[i - 1]) {
            node_t const *n = &af->nodes[i - 1];
            bool moves = n->shard != to && n->moves < COH_AFFINITY_MOVES_MAX && cnt < af->plan_max;
            used[moves ? to : n->shard] += n->load;
            if (moves) {
                out[cnt++] =
                    (coh_override_t){.addr = n->addr, .bucket = n->bucket, .shard = (uint16_t)to};
            }
        }
    }
    free(parts);
    free(first);
    free(linked);
    return cnt;
}

static void end_window(coh_affinity_t *af)
{
    if (af->tx_cnt != 0) {
        af->figures.now = (uint32_t)(af->across_cnt * 1000 / af->tx_cnt);
        if (!af->has_moved) {
            af->figures.before = af->figures.now;
        }
    }
    af->tx_cnt       = 0;
    af->across_cnt   = 0;
    af->reported_cnt = 0;
    memset(af->has_reported, 0, af->shard_cnt);
    merge_nodes(af);
    merge_edges(af);
}

size_t coh_affinity_plan(coh_affinity_t *af, coh_directory_t const *dir, coh_override_t *out)
{
    end_window(af);
    double all         = locate(af, dir);
    double fair        = all / af->shard_cnt;
    double *load       = coh_calloc(af->node_cnt + 1, sizeof(*load));
    double *across     = coh_calloc(af->node_cnt + 1, sizeof(*across)); /* by root */
    uint32_t *group_of = coh_calloc(af->node_cnt + 1, sizeof(*group_of));
    group_t *groups    = coh_calloc(af->node_cnt + 1, sizeof(*groups));
    double *used       = coh_calloc(af->shard_cnt, sizeof(*used));
    size_t group_cnt   = 0;
    double weight      = 0;
    double weight_away = 0;
    size_t cnt         = 0;
    join(af, load, fair / 2);
    for (size_t i = 0; i < af->edge_cnt; i++) {
        edge_t const *e = &af->edges[i];
        uint32_t root   = root_of(af, e->x);
        weight += e->weight;
        if (root == root_of(af, e->y) && af->nodes[e->x].shard != af->nodes[e->y].shard) {
            across[root] += e->weight;
            weight_away += e->weight;
        }
    }
    for (size_t i = 0; i < af->node_cnt; i++) {
        uint32_t root = root_of(af, (uint32_t)i);
        if (across[root] == 0) {
            used[af->nodes[i].shard] += af->nodes[i].load;
        } else if (root == i) {
            groups[group_cnt++] =
                (group_t){.root = root, .load = load[root], .across = across[root]};
        }
    }
    if (weight_away > PLAN_PART * weight) {
        qsort(groups, group_cnt, sizeof(*groups), by_falling_across);
        for (size_t g = 0; g < group_cnt; g++) {
            group_of[groups[g].root] = (uint32_t)g + 1;
        }
        cnt = assign(af, groups, group_cnt, group_of, used, FULL * fair, out);
    }
    free(load);
    free(across);
    free(group_of);
    free(groups);
    free(used);
    return cnt;
}

void coh_affinity_moved(coh_affinity_t *af, coh_rec_move_account_t const *moves, size_t cnt)
{
    af->has_moved = true;
    af->plan_max  = COH_MIN(2 * af->plan_max, (size_t)COH_AFFINITY_PLAN_MAX);
    for (size_t i = 0; i < cnt; i++) {
        node_t *n = find_node(af, &moves[i].addr);
        if (n != NULL && n->moves != NEVER) {
            n->moves++;
            af->figures.moves_max = COH_MAX(af->figures.moves_max, (uint32_t)n->moves);
        }
    }
}

void coh_affinity_too_big(coh_affinity_t *af, size_t cnt, coh_addr_t const *at)
{
    af->plan_max = COH_MAX(cnt / 2, (size_t)1);
    node_t *n    = find_node(af, at);
    if (n != NULL && cnt == 1) {
        n->moves = NEVER;
    }
}
