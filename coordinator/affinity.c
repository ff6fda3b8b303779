#include "coordinator/affinity.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* Below this weight, in transactions, a pair or an account that has not moved is forgotten. */
#define FADED 0.5
/* A pair joins groups if it is this part of what one of its accounts does, and was seen again: of two sightings one may have been a window earlier. */
#define JOIN_PART   0.15
#define JOIN_WEIGHT 1.5
/* A group takes another one in beyond half a shard's fair load if that has at most this part of its own. */
#define SMALL_PART 0.03
/* A plan is worth while if this part of all pairs' weight goes across shards, and this weight. */
#define PLAN_PART   0.005
#define PLAN_WEIGHT 16.0
/* A shard takes up to this times its fair load. */
#define FULL 1.25
/* Load is uneven if a shard has had this times its fair load in UNEVEN_WINDOWS windows, of so many transactions for each shard at least; then none is to have more than EVEN times its own. */
#define UNEVEN         1.2
#define EVEN           1.05
#define UNEVEN_WINDOWS 2u
#define UNEVEN_TXS     64u
/* A group goes to another shard for the sake of load if it has at most this part of what one has more than the other, and this part of a fair load at least. */
#define SHIFT_PART     0.75
#define SHIFT_PART_MIN 0.001
#define NEVER          UINT8_MAX

typedef struct {
    coh_addr_t addr;
    uint16_t bucket; /* if has_bucket: it costs a hash */
    bool has_bucket;
    uint16_t shard;  /* while planning */
    uint8_t moves;   /* NEVER: it stays */
    bool is_planned; /* while planning: it moves */
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

/* While planning: a group that lies on one shard. */
typedef struct {
    uint32_t root;
    uint32_t cnt; /* accounts; 0: it cannot move */
    uint32_t shard;
    double load;
} whole_t;

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
    double *shard_load; /* owned; by shard: gas that it executed, and... */
    double *new_load;   /* ...that of the window */
    uint32_t uneven_cnt;
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
    af->shard_load     = coh_calloc(shard_cnt, sizeof(*af->shard_load));
    af->new_load       = coh_calloc(shard_cnt, sizeof(*af->new_load));
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
        free(af->shard_load);
        free(af->new_load);
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
    af->new_load[shard] += (double)m->gas;
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
            if (af->nodes[i].has_bucket) {
                sum.bucket     = af->nodes[i].bucket;
                sum.has_bucket = true;
            }
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

/* Buckets of the nodes that have none yet. */
static void find_buckets(coh_affinity_t *af)
{
    coh_addr_t *addrs = coh_calloc(af->node_cnt + 1, sizeof(*addrs));
    uint16_t *buckets = coh_calloc(af->node_cnt + 1, sizeof(*buckets));
    size_t cnt        = 0;
    for (size_t i = 0; i < af->node_cnt; i++) {
        if (!af->nodes[i].has_bucket) {
            addrs[cnt++] = af->nodes[i].addr;
        }
    }
    coh_directory_buckets(buckets, addrs, cnt);
    cnt = 0;
    for (size_t i = 0; i < af->node_cnt; i++) {
        if (!af->nodes[i].has_bucket) {
            af->nodes[i].bucket     = buckets[cnt++];
            af->nodes[i].has_bucket = true;
        }
    }
    free(addrs);
    free(buckets);
}

/* Finds where everything is, and drops edges of accounts that are not known. Returns the load of all. */
static double locate(coh_affinity_t *af, coh_directory_t const *dir)
{
    double all = 0;
    find_buckets(af);
    for (size_t i = 0; i < af->node_cnt; i++) {
        node_t *n     = &af->nodes[i];
        n->shard      = (uint16_t)coh_directory_owner(dir, &n->addr, n->bucket);
        n->strength   = 0;
        n->is_planned = false;
        n->parent     = (uint32_t)i;
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

/* Joins groups along the heaviest pairs. load: by node, of the groups of which they are roots; load_max: see SMALL_PART. */
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
        if (e->weight < JOIN_WEIGHT) {
            break; /* the others are lighter still */
        }
        double big   = COH_MAX(load[x], load[y]);
        double small = COH_MIN(load[x], load[y]);
        double max   = small <= SMALL_PART * big ? 2 * load_max : load_max;
        if (x != y && e->weight >= JOIN_PART * least && big + small <= max) {
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

/* The shard that a group should be on: that with most of it, if there is room or can be nowhere. parts: its load by shard. */
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
        if (parts[s] > 0 && (used[s] + load <= full || load > full) &&
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
            node_t *n  = &af->nodes[i - 1];
            bool moves = n->shard != to && n->moves < COH_AFFINITY_MOVES_MAX && cnt < af->plan_max;
            used[moves ? to : n->shard] += n->load;
            n->is_planned = moves;
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

/* ---- load ---- */

/* The shard with most load of those that are not given up, and that with least. */
static void find_ends(double const *used,
                      uint8_t const *is_given_up,
                      uint32_t shard_cnt,
                      uint32_t *most,
                      uint32_t *least)
{
    *most  = UINT32_MAX;
    *least = 0;
    for (uint32_t s = 0; s < shard_cnt; s++) {
        if (is_given_up[s] == 0 && (*most == UINT32_MAX || used[s] > used[*most])) {
            *most = s;
        }
        *least = used[s] < used[*least] ? s : *least;
    }
}

/* Whether load has been uneven for long enough. used: of the shards, after what is planned already. */
static bool is_uneven(coh_affinity_t *af, double const *used, double fair, bool is_busy)
{
    double most = 0;
    for (uint32_t s = 0; s < af->shard_cnt; s++) {
        most = COH_MAX(most, used[s]);
    }
    if (is_busy) {
        af->uneven_cnt = most > UNEVEN * fair ? af->uneven_cnt + 1 : 0;
    }
    return is_busy && af->uneven_cnt >= UNEVEN_WINDOWS;
}

static int by_shard_and_falling_load(void const *a, void const *b)
{
    whole_t const *x = a;
    whole_t const *y = b;
    if (x->shard != y->shard) {
        return (x->shard > y->shard) - (x->shard < y->shard);
    }
    int d = (x->load < y->load) - (x->load > y->load);
    return d != 0 ? d : (x->root > y->root) - (x->root < y->root);
}

/* Groups that lie on one shard, may move, and are worth it; by shard, the biggest first. index: by root, 1 + its place; load: by root. */
static size_t find_wholes(coh_affinity_t *af,
                          double const *load,
                          double load_min,
                          whole_t *out,
                          uint32_t *index)
{
    size_t cnt = 0;
    for (uint32_t i = 0; i < af->node_cnt; i++) {
        node_t const *n = &af->nodes[i];
        uint32_t root   = root_of(af, i);
        if (index[root] == 0) {
            out[cnt]    = (whole_t){.root = root, .shard = n->shard, .load = load[root]};
            index[root] = (uint32_t)++cnt;
        }
        whole_t *w = &out[index[root] - 1];
        bool fits  = n->shard == w->shard && !n->is_planned && n->moves < COH_AFFINITY_MOVES_MAX;
        w->load    = fits ? w->load : 0;
        w->cnt++;
    }
    size_t kept = 0;
    for (size_t i = 0; i < cnt; i++) {
        if (out[i].load > 0 && out[i].load >= load_min) {
            out[kept++] = out[i];
        }
    }
    if (kept != 0) {
        qsort(out, kept, sizeof(*out), by_shard_and_falling_load);
    }
    return kept;
}

/* Adds to the cnt accounts in out those of whole groups that make load even. Returns the new number. */
static size_t even_out(coh_affinity_t *af,
                       double const *load,
                       bool is_busy,
                       coh_override_t *out,
                       size_t cnt)
{
    double all        = 0;
    double *used      = coh_calloc(af->shard_cnt, sizeof(*used));
    uint8_t *given_up = coh_calloc(af->shard_cnt, sizeof(*given_up));
    for (uint32_t s = 0; s < af->shard_cnt; s++) {
        used[s] = af->shard_load[s];
        all += used[s];
    }
    for (size_t i = 0; i < cnt; i++) {
        node_t const *n = find_node(af, &out[i].addr);
        used[n->shard] -= n->load;
        used[out[i].shard] += n->load;
    }
    double fair = all / af->shard_cnt;
    if (is_uneven(af, used, fair, is_busy)) {
        whole_t *wholes  = coh_calloc(af->node_cnt + 1, sizeof(*wholes));
        uint32_t *index  = coh_calloc(af->node_cnt + 1, sizeof(*index));
        uint32_t *target = coh_calloc(af->node_cnt + 1, sizeof(*target)); /* by root: 1 + shard */
        size_t *at       = coh_calloc(af->shard_cnt + 1, sizeof(*at));    /* in wholes, by shard */
        size_t *end      = coh_calloc(af->shard_cnt + 1, sizeof(*end));
        size_t whole_cnt = find_wholes(af, load, SHIFT_PART_MIN * fair, wholes, index);
        size_t planned   = cnt;
        for (size_t i = whole_cnt; i-- > 0;) {
            at[wholes[i].shard]  = i;
            end[wholes[i].shard] = COH_MAX(end[wholes[i].shard], i + 1);
        }
        for (;;) {
            uint32_t most;
            uint32_t least;
            find_ends(used, given_up, af->shard_cnt, &most, &least);
            if (most == UINT32_MAX || used[most] <= EVEN * fair) {
                break;
            }
            /* What is too big now is so for ever: the ends come closer. */
            double max = SHIFT_PART * (used[most] - used[least]);
            while (at[most] < end[most] &&
                   (wholes[at[most]].load > max || planned + wholes[at[most]].cnt > af->plan_max)) {
                at[most]++;
            }
            if (at[most] == end[most]) {
                given_up[most] = 1;
                continue;
            }
            whole_t const *w = &wholes[at[most]++];
            target[w->root]  = 1 + least;
            planned += w->cnt;
            used[most] -= w->load;
            used[least] += w->load;
        }
        for (uint32_t i = 0; i < af->node_cnt; i++) {
            uint32_t to = target[root_of(af, i)];
            if (to != 0) {
                out[cnt++] = (coh_override_t){.addr   = af->nodes[i].addr,
                                              .bucket = af->nodes[i].bucket,
                                              .shard  = (uint16_t)(to - 1)};
            }
        }
        af->uneven_cnt = 0;
        free(wholes);
        free(index);
        free(target);
        free(at);
        free(end);
    }
    free(used);
    free(given_up);
    return cnt;
}

/* Takes the reports in. True: there were enough transactions to tell by them how even load is. */
static bool end_window(coh_affinity_t *af)
{
    bool is_busy = af->tx_cnt / UNEVEN_TXS >= af->shard_cnt;
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
    for (uint32_t s = 0; s < af->shard_cnt; s++) {
        af->shard_load[s] = af->shard_load[s] / 2 + af->new_load[s];
        af->new_load[s]   = 0;
    }
    merge_nodes(af);
    merge_edges(af);
    return is_busy;
}

size_t coh_affinity_plan(coh_affinity_t *af, coh_directory_t const *dir, coh_override_t *out)
{
    bool is_busy       = end_window(af);
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
    if (weight_away > PLAN_PART * weight && weight_away >= PLAN_WEIGHT) {
        qsort(groups, group_cnt, sizeof(*groups), by_falling_across);
        for (size_t g = 0; g < group_cnt; g++) {
            group_of[groups[g].root] = (uint32_t)g + 1;
        }
        cnt = assign(af, groups, group_cnt, group_of, used, FULL * fair, out);
    }
    cnt = even_out(af, load, is_busy, out, cnt);
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
        if (n != NULL) {
            af->shard_load[moves[i].from] -= n->load;
            af->shard_load[moves[i].to] += n->load;
        }
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
